"""Fields of a NetConfig as a command line names them: `--set dim=64 --set relations=forward,backward`."""

from collections.abc import Iterable
from typing import Any, get_origin

from graph.storage.errors import BadInputError
from training.config import NetConfig


def parse_settings(texts: Iterable[str]) -> dict[str, Any]:
    """`name=value` each; several values of one field are separated by commas. Whether a value fits is said by pydantic,
    when the config is made. Raises BadInputError."""
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise BadInputError(f"{text!r} sets nothing.", hint="Write it like dim=64.")
        if name not in NetConfig.model_fields:
            known = ", ".join(NetConfig.model_fields)
            raise BadInputError(f"A net has no setting {name!r}.", hint=f"There are {known}.")
        if name in settings:
            raise BadInputError(f"{name} is set twice.", hint="Leave one out.")
        settings[name] = _parsed(name, value.strip())
    return settings


def _parsed(name: str, value: str) -> Any:
    if get_origin(NetConfig.model_fields[name].annotation) is tuple:
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value
