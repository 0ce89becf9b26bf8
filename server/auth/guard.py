"""Who calls and whether they may: from the metadata of a call to a caller, its scope and its rate.

All of it runs in the event loop, before any byte of the request is decoded. A caller that was verified is remembered
by the hash of its credentials, so that a call costs a hash and a look, and no secret is kept.
"""

import asyncio
import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

from graph.storage.errors import BadInputError, PermissionDeniedError, RateLimitError, UnauthenticatedError
from graph.storage.settings import Settings
from server.auth.caller import Caller
from server.auth.jwts import Jwks, read_jwks, verify
from server.auth.keys import PREFIX, Keys, read_keys
from server.auth.rates import Rates
from server.auth.scopes import SCOPES
from server.auth.watched import Watched

MOST_KNOWN = 10_000
"""Only valid credentials are remembered, so nobody can push them out by guessing."""
LOOK_EVERY_S = 1.0
"""So soon a changed file counts."""

Metadata = Iterable[tuple[str, str | bytes]]

_SEND = "Send `authorization: Bearer <key or token>`, or `x-api-key: <key>`."
_INVALID = "These credentials are not valid here."


class Guard:
    """Raises BadInputError where a file of keys cannot be used, or a setting is missing."""

    def __init__(self, settings: Settings) -> None:
        self._keys = _keys(settings.auth_keys)
        self._jwks = _jwks(settings)
        self._issuer, self._audience = settings.jwt_issuer or "", settings.jwt_audience or ""
        self._rates = Rates(settings.rate_per_caller)
        self._known: dict[bytes, Caller] = {}
        self._look_next = time.monotonic() + LOOK_EVERY_S

    def admit(self, method: str, metadata: Metadata) -> Caller | None:
        """Who calls; None where the method is open to everybody.

        Raises UnauthenticatedError, PermissionDeniedError or RateLimitError.
        """
        scope = SCOPES[method]
        if scope is None:
            return None
        caller = self.check(method, metadata)
        if wait_s := self._rates.take(caller):
            raise RateLimitError(
                f"{caller.name} calls more often than it may.",
                hint=f"The next call is free in {wait_s:.2g} s.",
                retry_after_ms=wait_s * 1_000,
            )
        return caller

    async def admit_next(self, method: str, metadata: Metadata) -> None:
        """Of each further message of a stream: a key that was revoked ends it, and one that is too fast waits."""
        while wait_s := self._rates.take(self.check(method, metadata)):
            await asyncio.sleep(wait_s)

    def identify(self, metadata: Metadata) -> Caller:
        """Raises UnauthenticatedError."""
        self._renew()
        secret = _credentials(metadata)
        digest = hashlib.sha256(secret.encode()).digest()
        caller = self._known.get(digest)
        if caller is None:
            caller = self._known[digest] = self._verify(secret)
            if len(self._known) > MOST_KNOWN:
                del self._known[next(iter(self._known))]
        if caller.until <= time.time():
            raise UnauthenticatedError(
                "These credentials have expired.", hint="Ask for new ones.", reason="EXPIRED_CREDENTIALS"
            )
        return caller

    def check(self, method: str, metadata: Metadata) -> Caller:
        """Whether the caller may still: of each chunk of a long answer. Raises as `admit` does, but for rates."""
        caller, scope = self.identify(metadata), SCOPES[method]
        if scope not in caller.scopes:
            raise PermissionDeniedError(
                f"{caller.name} lacks the scope {scope}, which {method} needs.", hint="Ask an admin for it."
            )
        return caller

    def _verify(self, secret: str) -> Caller:
        if secret.startswith(PREFIX):
            caller = self._keys.content.find(secret) if self._keys else None
        else:
            caller = verify(secret, self._jwks.content, self._issuer, self._audience) if self._jwks else None
        if caller is None:
            raise UnauthenticatedError(_INVALID, hint=_SEND)
        return caller

    def _renew(self) -> None:
        now = time.monotonic()
        if now < self._look_next:
            return
        self._look_next = now + LOOK_EVERY_S
        if [file for file in (self._keys, self._jwks) if file is not None and file.renew()]:
            self._known.clear()


def guard_of(settings: Settings) -> Guard | None:
    """None where no authentication is set up. Raises BadInputError for settings that are of no use without."""
    if settings.auth_keys is None and settings.jwt_jwks is None:
        if settings.rate_per_caller:
            raise BadInputError(
                "rate_per_caller is set, but nothing says who calls.", hint="Set auth_keys or jwt_jwks as well."
            )
        return None
    return Guard(settings)


def _keys(path: Path | None) -> Watched[Keys] | None:
    return None if path is None else Watched([path], lambda: read_keys(path))


def _jwks(settings: Settings) -> Watched[Jwks] | None:
    path = settings.jwt_jwks
    if path is None:
        return None
    if settings.jwt_issuer is None or settings.jwt_audience is None:
        raise BadInputError(
            "jwt_jwks needs jwt_issuer and jwt_audience.",
            hint="Without them a token that the issuer gave out for another service would be let in.",
        )
    return Watched([path], lambda: read_jwks(path))


def _credentials(metadata: Metadata) -> str:
    """What the caller sent. Raises UnauthenticatedError for nothing, for two of them, and for what is no credential."""
    found = [(name, value) for name, value in metadata if name in ("authorization", "x-api-key")]
    if not found:
        raise UnauthenticatedError("The call has no credentials.", hint=_SEND, reason="MISSING_CREDENTIALS")
    name, value = found[0]
    if len(found) > 1 or not isinstance(value, str):
        raise UnauthenticatedError(_INVALID, hint=_SEND)
    if name == "x-api-key":
        if not value.startswith(PREFIX):
            raise UnauthenticatedError(_INVALID, hint=_SEND)
        return value
    scheme, _, secret = value.partition(" ")
    if scheme.lower() != "bearer" or not secret:
        raise UnauthenticatedError(_INVALID, hint=_SEND)
    return secret
