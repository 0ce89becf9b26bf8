"""The file of API keys: a name, a hash, scopes, an end and a rate for each; never a key.

A key is 256 random bits, which nobody can guess however fast they can hash. So a fast hash (SHA-256) is right here: the
slow ones (scrypt, argon2) make up for the little that people's passwords leave to guess, and would cost each server
tenths of a second a call.
"""

import fcntl
import hashlib
import hmac
import json
import os
import secrets
import shutil
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from graph.storage.errors import BadInputError
from graph.sync import sync
from server.auth.caller import Caller
from server.auth.scopes import Scope
from server.auth.watched import read_bytes

PREFIX = "pk_"
"""By which people, and programs that look for leaked secrets, tell a key."""

_HEAD = "# Written by `penchant keys`. It holds hashes: whoever reads it can call nothing.\n"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]


class Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: tuple[Scope, ...] = Field(min_length=1)
    created: date
    expires: date | None = Field(None, description="from the beginning of that day on, UTC, it is not valid any more")
    rate: float | None = Field(None, ge=0, allow_inf_nan=False, description="calls per second, 0 = as many as come")

    @property
    def until(self) -> float:
        """Seconds since 1970."""
        return datetime.combine(self.expires, time(), UTC).timestamp() if self.expires else float("inf")


class Keys(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    keys: dict[Name, Key] = {}

    def find(self, secret: str) -> Caller | None:
        """Looks at all keys, each in constant time, so that how long it takes says nothing of any of them."""
        digest, found = hash_of(secret), None
        for name, key in self.keys.items():
            if hmac.compare_digest(key.sha256, digest):
                found = Caller(f"key:{name}", frozenset(key.scopes), key.until, key.rate)
        return found


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def read_keys(path: Path) -> Keys:
    """Raises BadInputError, naming the place, for a file that is missing or says what no key has."""
    try:
        return Keys.model_validate(tomllib.loads(read_bytes(path).decode()))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"{path} is no file of keys: {where}: {first['msg']}.", hint=_WRITTEN_BY) from error
    except ValueError as error:  # no TOML, no UTF-8
        raise BadInputError(f"{path} is no TOML: {error}.", hint=_WRITTEN_BY) from error


def write_keys(path: Path, keys: Keys) -> None:
    """Replaces the file at once, so that no server ever reads half of it; its owner and its rights stay."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # readable by its owner alone
    try:
        with os.fdopen(handle, "w") as file:
            file.write(_HEAD + "".join(_entry(name, key) for name, key in keys.keys.items()))
        if path.exists():
            shutil.copymode(path, name)
            with suppress(PermissionError):  # only root may give files away
                os.chown(name, path.stat().st_uid, path.stat().st_gid)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync(path.parent)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Within it no other command changes the file."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _entry(name: str, key: Key) -> str:
    lines = [f"[keys.{name}]", f'sha256 = "{key.sha256}"', f"scopes = {json.dumps(key.scopes)}"]
    lines.append(f"created = {key.created.isoformat()}")
    if key.expires is not None:
        lines.append(f"expires = {key.expires.isoformat()}")
    if key.rate is not None:
        lines.append(f"rate = {key.rate}")
    return "\n" + "\n".join(lines) + "\n"


_WRITTEN_BY = "`penchant keys` writes it."
