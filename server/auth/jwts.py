"""JSON Web Tokens, checked against a local JWKS file: nothing is fetched, so no token makes the server ask anybody."""

import json
from pathlib import Path
from typing import Any

import jwt

from graph.storage.errors import BadInputError, UnauthenticatedError
from server.auth.caller import Caller
from server.auth.scopes import ALL_SCOPES
from server.auth.watched import read_bytes

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Signatures by a key that the server does not have. With a shared secret (HS256) whoever can check can forge, and
`none` is no signature."""

Jwks = dict[str, jwt.PyJWK]
"""By key id."""

_INVALID = "The token is not valid here."


def read_jwks(path: Path) -> Jwks:
    """The keys that may sign. Raises BadInputError where the file has none, or holds what only the issuer may have."""
    hint = 'It is {"keys": [...]} with the public keys, as the issuer gives it.'
    try:
        entries = [dict(entry) for entry in json.loads(read_bytes(path))["keys"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise BadInputError(f"{path} is no JWKS file.", hint=hint) from error
    if any(entry.get("kty") == "oct" or "d" in entry for entry in entries):
        raise BadInputError(f"{path} holds a secret or private key.", hint=hint)
    found = {str(key.key_id or ""): key for key in map(_usable, entries) if key is not None}
    if not found:
        raise BadInputError(f"{path} has no key for {', '.join(ALGORITHMS)}.", hint=hint)
    return found


def verify(token: str, keys: Jwks, issuer: str, audience: str) -> Caller:
    """Who a token says calls. Raises UnauthenticatedError."""
    try:
        key = _key_of(token, keys)
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            issuer=issuer,
            audience=audience,
            options={"require": ["exp", "sub", "iss", "aud"], "enforce_minimum_key_length": True},
        )
        until = float(claims["exp"])
    except jwt.ExpiredSignatureError:
        raise UnauthenticatedError("The token has expired.", hint=_ASK, reason="EXPIRED_CREDENTIALS") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):  # they may quote the token
        raise UnauthenticatedError(_INVALID, hint=_ASK) from None
    scope = claims.get("scope", "")
    granted = scope.split() if isinstance(scope, str) else []
    return Caller(f"jwt:{claims['sub']}", frozenset(each for each in ALL_SCOPES if each in granted), until)


def _key_of(token: str, keys: Jwks) -> jwt.PyJWK:
    """By the token's `kid`; one without is signed by the only key there is."""
    kid = jwt.get_unverified_header(token).get("kid")
    key = keys.get(kid) if isinstance(kid, str) else next(iter(keys.values())) if len(keys) == 1 else None
    if key is None:
        raise UnauthenticatedError(_INVALID, hint=_ASK)
    return key


def _usable(entry: dict[str, Any]) -> jwt.PyJWK | None:
    """None for keys of other purposes and kinds, which issuers also list."""
    try:
        key = jwt.PyJWK(entry)
    except jwt.PyJWTError:
        return None
    return key if entry.get("use", "sig") == "sig" and key.algorithm_name in ALGORITHMS else None


_ASK = "Ask its issuer for a new one."
