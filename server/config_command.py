"""`penchant config`: every setting, its value and where that comes from, as a settings file to start from."""

import json
import textwrap
from typing import Any

import typer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from graph.storage.cli_errors import explained
from graph.storage.settings import Settings, origins


def config_command(flags: dict[str, Any]) -> None:
    """Prints all settings as TOML, each with what it means and where it comes from; what is default is commented out.

    `penchant config > penchant.toml` is a settings file to start from. Passwords are not printed.
    """
    with explained():
        settings = Settings(**flags)
        typer.echo("\n\n".join(_entry(settings, name, origin) for name, origin in origins(flags).items()))


def _entry(settings: Settings, name: str, origin: str) -> str:
    description = f"{Settings.model_fields[name].description} ({origin})"
    value = _shown(name, getattr(settings, name))
    is_chosen = origin != "default" and value is not None and name != "config"  # which no file can name
    line = f"{name} = {'' if value is None else json.dumps(value, ensure_ascii=False)}"
    return textwrap.fill(description, 118, initial_indent="# ", subsequent_indent="# ") + (
        f"\n{line}" if is_chosen else f"\n# {line}"
    )


def _shown(name: str, value: Any) -> Any:
    if name == "database_url":
        return _without_password(value)
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # no URL at all: nobody can say what is secret in it
        return "***"
