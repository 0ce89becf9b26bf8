"""A server with authentication over an empty store, and who calls it: a key for each scope, an issuer of tokens."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from penchant.errors import PenchantError, from_rpc_error

from graph.storage.settings import Settings
from server.app import App, start
from server.auth.keys import Key, Keys, hash_of, new_secret, read_keys, write_keys
from server.auth.scopes import ALL_SCOPES

ISSUER, AUDIENCE = "https://login.shop.example", "penchant"
SECRETS = {scope: new_secret() for scope in ALL_SCOPES}
"""A key by scope, each called as its scope is."""


class Issuer:
    """Signs tokens with ES256; `jwks` is what it gives to servers."""

    def __init__(self, kid: str = "k1") -> None:
        self.kid = kid
        self._key = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwks(self) -> str:
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return json.dumps({"keys": [{**public, "kid": self.kid, "use": "sig"}]})

    def token(self, scope: str = "read", *, key: Any = None, **claims: Any) -> str:
        """A claim that is None is left out."""
        given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, "scope": scope} | claims
        given = {name: value for name, value in given.items() if value is not None}
        return jwt.encode(given, key or self._key, algorithm="ES256", headers={"kid": self.kid})


@dataclass
class Guarded:
    app: App
    keys: Path
    jwks: Path
    issuer: Issuer
    channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.app.port}")

    def call(self, method: str, metadata: Iterable[tuple[str, str]] = (), request: bytes = b"") -> PenchantError | None:
        """How a call of any kind ends: None where its first answer came."""
        raw: Any = self.channel.stream_stream(method)
        call = raw(iter([request]), timeout=30, metadata=tuple(metadata))
        try:
            next(iter(call), None)
        except grpc.RpcError as error:
            return from_rpc_error(error)
        finally:
            call.cancel()
        return None

    def reason(self, metadata: Iterable[tuple[str, str]]) -> str:
        """Why a call of scope read is refused, "" where it is answered."""
        error = self.call("/penchant.v1.ServerService/GetServerInfo", metadata)
        return error.reason if error else ""


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


def add_key(
    path: Path, name: str, secret: str, *scopes: Any, expires: date | None = None, rate: float | None = None
) -> None:
    known = read_keys(path).keys if path.exists() else {}
    today = datetime.now(UTC).date()
    key = Key(sha256=hash_of(secret), scopes=scopes, created=today, expires=expires, rate=rate)
    write_keys(path, Keys(keys=known | {name: key}))


@pytest.fixture(scope="module")
def guarded(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "penchant.db").write_bytes(sqlite_template.read_bytes())
    keys, jwks, issuer = folder / "keys.toml", folder / "jwks.json", Issuer()
    for scope in ALL_SCOPES:
        add_key(keys, scope, SECRETS[scope], scope)
    jwks.write_text(issuer.jwks)
    settings = Settings(
        database_url=f"sqlite:///{folder / 'penchant.db'}",
        artifacts=folder / "artifacts",
        listen="127.0.0.1:0",
        auth_keys=keys,
        jwt_jwks=jwks,
        jwt_issuer=ISSUER,
        jwt_audience=AUDIENCE,
    )
    app = start(settings)
    one = Guarded(app, keys, jwks, issuer)
    yield one
    one.channel.close()
    app.stop(0)
