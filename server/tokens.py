"""Opaque page and resume tokens: where to go on, bound to the revision and to the request that made them.

A token is no authorisation: it only names a place. Its checksum tells a mangled token from one of another request, and
anybody can make one, so what it says is checked like any other field of a request.
"""

import base64
import json
import zlib
from dataclasses import dataclass
from typing import Any

from graph.storage.errors import BadInputError
from graph.storage.times import NEVER_US
from server import limits
from server.convert import LAST_US

MAX_TOKEN_BYTES = 4_096
"""The longest id, escaped and encoded, takes half of it."""


@dataclass(frozen=True)
class Place:
    """`last` is the last key answered, `version` the revision ("" where none matters), the others are an export's."""

    last: str
    version: str = ""
    as_of_us: int = 0
    total: int = 0

    @property
    def position(self) -> int:
        """`last` of a list that is numbered: where the next page starts. BadInputError where it is no number."""
        if not self.last:
            return 0
        if not self.last.isdecimal() or len(self.last) > 18:
            raise _no_token("page_token")
        return int(self.last)


def encode(place: Place, request: object) -> str:
    """`request`: whatever must not change between pages, e.g. the filter; compared by its repr."""
    return packed(json.dumps([place.last, place.version, place.as_of_us, place.total, _mark(request)]).encode())


def packed(body: bytes) -> str:
    """Behind its checksum, in letters that an address may hold."""
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode()


def decode(token: str, request: object, field: str = "page_token") -> Place:
    """Raises BadInputError for a token that is mangled or belongs to another request."""
    try:
        place, mark = _read(token)
    except (ValueError, TypeError, RecursionError, BadInputError) as error:
        raise _no_token(field) from error
    if mark != _mark(request):
        raise BadInputError(
            f"{field} belongs to a request with other arguments.",
            hint="Keep everything but the token unchanged between pages.",
            field=field,
            reason="TOKEN_OF_OTHER_REQUEST",
        )
    return place


def _read(token: str) -> tuple[Place, object]:
    """The place and the mark of its request. Raises whatever reading of junk may raise."""
    if len(token) > MAX_TOKEN_BYTES:
        raise ValueError("longer than any token")
    raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    checksum, body = raw[:4], raw[4:]
    if zlib.crc32(body).to_bytes(4, "big") != checksum:
        raise ValueError("checksum")
    last, version, as_of_us, total, mark = json.loads(body)
    for text in (last, version):
        if text != "":
            limits.check_id(_of(str, text), "token")
    if not (0 <= _of(int, as_of_us) <= LAST_US and 0 <= _of(int, total) <= NEVER_US):
        raise ValueError("out of range")
    return Place(last, version, as_of_us, total), mark


def _of(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise TypeError(type(value))
    return value


def _no_token(field: str) -> BadInputError:
    return BadInputError(
        f"{field} is no token of this server.",
        hint="Start anew with an empty one.",
        field=field,
        reason="INVALID_TOKEN",
    )


def _mark(request: object) -> int:
    return zlib.crc32(repr(request).encode())
