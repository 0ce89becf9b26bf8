"""Opaque page and resume tokens: where to go on, bound to the revision and to the request that made them.

A token is no authorisation: it only names a place. Its checksum tells a mangled token from one of another request.
"""

import base64
import binascii
import json
import zlib
from dataclasses import dataclass

from graph.storage.errors import BadInputError


@dataclass(frozen=True)
class Place:
    """`last` is the last key answered, `version` the revision ("" where none matters), the others are an export's."""

    last: str
    version: str = ""
    as_of_us: int = 0
    total: int = 0

    @property
    def position(self) -> int:
        """`last` of a list that is numbered: where the next page starts."""
        return int(self.last or 0)


def encode(place: Place, request: object) -> str:
    """`request`: whatever must not change between pages, e.g. the filter; compared by its repr."""
    body = json.dumps([place.last, place.version, place.as_of_us, place.total, _mark(request)]).encode()
    return base64.urlsafe_b64encode(zlib.crc32(body).to_bytes(4, "big") + body).decode()


def decode(token: str, request: object, field: str = "page_token") -> Place:
    """Raises BadInputError for a token that is mangled or belongs to another request."""
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
        checksum, body = raw[:4], raw[4:]
        if zlib.crc32(body).to_bytes(4, "big") != checksum:
            raise ValueError("checksum")
        last, version, as_of_us, total, mark = json.loads(body)
    except (ValueError, binascii.Error) as error:
        raise BadInputError(
            f"{field} is no token of this server.",
            hint="Start anew with an empty one.",
            field=field,
            reason="INVALID_TOKEN",
        ) from error
    if mark != _mark(request):
        raise BadInputError(
            f"{field} belongs to a request with other arguments.",
            hint="Keep everything but the token unchanged between pages.",
            field=field,
            reason="TOKEN_OF_OTHER_REQUEST",
        )
    return Place(last, version, as_of_us, total)


def _mark(request: object) -> int:
    return zlib.crc32(repr(request).encode())
