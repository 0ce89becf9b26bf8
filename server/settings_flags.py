"""A flag for each setting, so that a command line can choose whatever the environment and the file can."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from graph.storage.settings import Settings

SHORTER = {"database_url": "--database"}
"""As all commands have called it from the first."""


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """`command(flags, …)` as typer takes it: an option for each setting in place of `flags`, which holds those given.

    Values stay text here: what they may be is said by Settings alone, wherever they come from.
    """

    @functools.wraps(command)  # by its name another process finds it
    def mounted(**given: Any) -> None:
        flags = {name: given.pop(name, None) for name in Settings.model_fields}
        command({name: value for name, value in flags.items() if value is not None}, **given)

    _, *own = inspect.signature(command).parameters.values()
    options = [_parameter(name, field) for name, field in Settings.model_fields.items()]
    mounted.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]  # typer looks for it
    mounted.__annotations__ = {each.name: each.annotation for each in [*own, *options]}
    return mounted


def _parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    flag = SHORTER.get(name, "--" + name.replace("_", "-"))
    switch = field.annotation is bool
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if switch else flag,
        help=field.description,
        show_default=field.default is not None and str(field.default),
        rich_help_panel="Settings, which win over the environment and the settings file",
    )
    kept = Annotated[bool | None, option] if switch else Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kept)
