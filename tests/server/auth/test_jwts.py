"""A token counts when the right issuer signed it for us, and says until when and for whom."""

import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from graph.storage.errors import BadInputError, UnauthenticatedError
from server.auth.jwts import read_jwks, verify
from tests.server.auth.conftest import AUDIENCE, ISSUER, Guarded, Issuer, bearer

RSA = rsa.generate_private_key(65537, 2048)
PUBLIC: dict[str, dict[str, Any]] = {
    "RS256": {**RSAAlgorithm.to_jwk(RSA.public_key(), as_dict=True), "kid": "rsa"},
    "ES256": json.loads(Issuer("ec").jwks)["keys"][0],
}


def write(path: Path, *entries: dict[str, Any]) -> Path:
    path.write_text(json.dumps({"keys": entries}))
    return path


def claims(**changes: Any) -> dict[str, Any]:
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600, "scope": "read"} | changes


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_three_kinds_of_signatures_count(tmp_path: Path, algorithm: str) -> None:
    private: Any = {
        "RS256": RSA,
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    }[algorithm]
    kind: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}[algorithm]
    keys = read_jwks(write(tmp_path / "jwks.json", {**kind.to_jwk(private.public_key(), as_dict=True), "kid": "k"}))
    given = claims(scope="write openid read")
    caller = verify(jwt.encode(given, private, algorithm, headers={"kid": "k"}), keys, ISSUER, AUDIENCE)
    assert (caller.name, caller.scopes, caller.until) == ("jwt:alice", frozenset({"read", "write"}), given["exp"])
    without_kid = jwt.encode(given, private, algorithm)
    assert verify(without_kid, keys, ISSUER, AUDIENCE) == caller  # there is no other key


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(time.time()) - 1}, "EXPIRED_CREDENTIALS"),
        ({"exp": None}, "INVALID_CREDENTIALS"),
        ({"exp": "tomorrow"}, "INVALID_CREDENTIALS"),
        ({"sub": None}, "INVALID_CREDENTIALS"),
        ({"iss": "https://evil.example"}, "INVALID_CREDENTIALS"),
        ({"iss": None}, "INVALID_CREDENTIALS"),
        ({"aud": "another service"}, "INVALID_CREDENTIALS"),
        ({"aud": None}, "INVALID_CREDENTIALS"),
        ({"nbf": int(time.time()) + 600}, "INVALID_CREDENTIALS"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "INVALID_CREDENTIALS"),
        ({"scope": None}, "MISSING_SCOPE"),
        ({"scope": ["read"]}, "MISSING_SCOPE"),
        ({"scope": "reader"}, "MISSING_SCOPE"),
        ({"scope": "write export admin"}, "MISSING_SCOPE"),
        ({"aud": ["another service", AUDIENCE]}, ""),
    ],
)
def test_a_server_refuses_what_does_not_hold(guarded: Guarded, changes: dict[str, Any], reason: str) -> None:
    assert guarded.reason(bearer(guarded.issuer.token(**changes))) == reason


def forged(header: dict[str, Any], key: Any, algorithm: str) -> str:
    return jwt.encode(claims(), key, algorithm, headers=header)


def test_the_token_does_not_choose_how_it_is_checked(tmp_path: Path) -> None:
    """The classic forgeries: no signature, and the public key taken for a shared secret."""
    keys = read_jwks(write(tmp_path / "jwks.json", *PUBLIC.values()))
    public = json.dumps(PUBLIC["RS256"])
    tokens = [
        forged({"kid": "rsa"}, None, "none"),
        forged({"kid": "rsa"}, public * 2, "HS256"),
        forged({"kid": "rsa"}, RSA, "RS512"),
        forged({"kid": "ec"}, RSA, "RS256"),
        forged({"kid": "nobody's"}, RSA, "RS256"),
        forged({}, RSA, "RS256"),  # which of the two?
        forged({"kid": "rsa"}, RSA, "RS256")[:-4],
        "a.b.c",
        "...",
        "[" * 5_000,
    ]
    for token in tokens:
        with pytest.raises(UnauthenticatedError):
            verify(token, keys, ISSUER, AUDIENCE)
    verify(forged({"kid": "rsa"}, RSA, "RS256"), keys, ISSUER, AUDIENCE)


@pytest.mark.filterwarnings("ignore::jwt.InsecureKeyLengthWarning")
def test_a_key_that_is_too_short_signs_nothing(tmp_path: Path) -> None:
    short = rsa.generate_private_key(65537, 1024)
    keys = read_jwks(write(tmp_path / "jwks.json", RSAAlgorithm.to_jwk(short.public_key(), as_dict=True)))
    with pytest.raises(UnauthenticatedError):
        verify(jwt.encode(claims(), short, "RS256"), keys, ISSUER, AUDIENCE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no JWKS file"),
        ("[]", "is no JWKS file"),
        ('{"keys": 3}', "is no JWKS file"),
        ('{"keys": [3]}', "is no JWKS file"),
        ("[" * 100_000, "is no JWKS file"),
        ('{"keys": []}', "has no key for RS256, ES256, EdDSA"),
        (json.dumps({"keys": [{**PUBLIC["RS256"], "alg": "PS256"}]}), "has no key for"),
        (json.dumps({"keys": [{**PUBLIC["RS256"], "use": "enc"}]}), "has no key for"),
        (json.dumps({"keys": [PUBLIC["RS256"], {"kty": "oct", "k": "c2VjcmV0"}]}), "holds a secret or private key"),
        (json.dumps({"keys": [RSAAlgorithm.to_jwk(RSA, as_dict=True)]}), "holds a secret or private key"),
    ],
)
def test_a_jwks_file_without_a_key_that_may_sign_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "jwks.json").write_text(content)
    with pytest.raises(BadInputError, match=rf"jwks\.json {message}"):
        read_jwks(tmp_path / "jwks.json")
