"""`penchant keys`: create, list and revoke API keys."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from graph.storage.cli_errors import explained
from graph.storage.errors import BadInputError, ConflictError, NotFoundError
from graph.storage.settings import Settings
from server.auth.keys import Key, Keys, alone, hash_of, new_secret, read_keys, write_keys
from server.auth.scopes import ALL_SCOPES

keys_app = typer.Typer(help="API keys: who may call the server, and what.", no_args_is_help=True)

FileOption = Annotated[
    Path | None, typer.Option("--auth-keys", help="The file of the keys, instead of the setting auth_keys.")
]
NameArgument = Annotated[str, typer.Argument(help="What the key is called in logs: letters, digits, - and _.")]


@keys_app.command("create")
def create_command(
    name: NameArgument,
    scope: Annotated[list[str], typer.Option(help=f"What it may do, once or several times: {', '.join(ALL_SCOPES)}.")],
    expires: Annotated[str | None, typer.Option(help="The day, UTC, from which on it is not valid any more.")] = None,
    rate: Annotated[float | None, typer.Option(help="Calls per second, 0 = as many as come; else the setting.")] = None,
    auth_keys: FileOption = None,
) -> None:
    """Prints a new key, once: only its hash is kept. Servers that run take it within a second."""
    with explained():
        path = _file(auth_keys)
        secret = new_secret()
        key = _key(secret, scope, expires, rate)
        with alone(path):
            known = read_keys(path).keys if path.exists() else {}
            if name in known:
                raise ConflictError(f"There is a key {name} already.", hint="Take another name, or revoke that one.")
            write_keys(path, _checked(known | {name: key}))
        typer.echo(secret)


@keys_app.command("list")
def list_command(auth_keys: FileOption = None) -> None:
    """Every key's name, scopes, end and rate."""
    with explained():
        table = Table("name", "scopes", "created", "expires", "calls/s", box=None)
        for name, key in sorted(read_keys(_file(auth_keys)).keys.items()):
            ends = "never" if key.expires is None else key.expires.isoformat()
            ended = " (expired)" if key.until <= datetime.now(UTC).timestamp() else ""
            rate = "" if key.rate is None else f"{key.rate:g}"
            table.add_row(name, " ".join(key.scopes), key.created.isoformat(), ends + ended, rate)
        Console().print(table)


@keys_app.command("revoke")
def revoke_command(name: NameArgument, auth_keys: FileOption = None) -> None:
    """Takes a key away. Servers that run refuse it within a second."""
    with explained():
        path = _file(auth_keys)
        with alone(path):
            known = read_keys(path).keys
            if name not in known:
                raise NotFoundError(f"There is no key {name}.", hint="`penchant keys list` lists them.")
            write_keys(path, Keys(keys={other: key for other, key in known.items() if other != name}))
        typer.echo(f"{name} is revoked.")


def _file(given: Path | None) -> Path:
    path = given or Settings().auth_keys
    if path is None:
        raise BadInputError("Nothing says where the keys are.", hint="Set auth_keys, or name a file with --auth-keys.")
    if not path.parent.is_dir():
        raise BadInputError(f"There is no folder {path.parent}.", hint="Create it, readable by the server's user.")
    return path


def _key(secret: str, scopes: list[str], expires: str | None, rate: float | None) -> Key:
    try:
        ends = None if expires is None else date.fromisoformat(expires)
    except ValueError as error:
        raise BadInputError(f"{expires!r} is no day.", hint="Write it as 2027-01-31.") from error
    today = datetime.now(UTC).date()
    if ends is not None and ends <= today:
        raise BadInputError(f"A key that expires on {ends} is of no use.", hint="Name a day to come.")
    chosen = [each for each in ALL_SCOPES if each in scopes]
    if unknown := set(scopes) - set(chosen):
        raise BadInputError(f"There is no scope {min(unknown)!r}.", hint=f"There are {', '.join(ALL_SCOPES)}.")
    if rate is not None and not 0 <= rate < float("inf"):
        raise BadInputError(f"{rate} is no rate.", hint="Give calls per second, 0 for as many as come.")
    return Key(sha256=hash_of(secret), scopes=tuple(chosen), created=today, expires=ends, rate=rate)


def _checked(keys: dict[str, Key]) -> Keys:
    try:
        return Keys(keys=keys)
    except ValidationError as error:
        raise BadInputError(
            "The name of a key has letters, digits, - and _, at most 64.", hint="Choose another."
        ) from error
