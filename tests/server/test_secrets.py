"""No key, token or password is in anything that a server says, however calls fail and however much it logs."""

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from penchant.rpcs import RPCS
from sqlalchemy import make_url

from server.auth.keys import new_secret
from server.auth.scopes import ALL_SCOPES
from tests.server.auth.conftest import AUDIENCE, ISSUER, Issuer, add_key, bearer
from tests.server.conftest import World

PASSWORD = "hush-7d0c1b"
WAYS = (b"", b"\xff\xff", b"\x0a\x02u1", b"\x0a\x02u1\x12\x02i1")


@pytest.mark.postgres
@pytest.mark.timeout(120)
def test_a_server_that_says_all_it_can_says_no_secret(
    postgresql_url_fresh: str,
    tmp_path: Path,
    serve: Callable[[World], "tuple[subprocess.Popen[str], str]"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets, issuer = {scope: new_secret() for scope in ALL_SCOPES}, Issuer()
    for scope in ALL_SCOPES:
        add_key(tmp_path / "keys.toml", scope, secrets[scope], scope)
    add_key(tmp_path / "keys.toml", "slow", slow := new_secret(), "read", rate=0.01)
    (tmp_path / "jwks.json").write_text(issuer.jwks)
    for name, value in {
        "LOG_LEVEL": "DEBUG",
        "AUTH_KEYS": tmp_path / "keys.toml",
        "JWT_JWKS": tmp_path / "jwks.json",
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
    }.items():
        monkeypatch.setenv(f"PENCHANT_{name}", str(value))
    url = make_url(postgresql_url_fresh).set(password=PASSWORD)
    server, target = serve(World(url.render_as_string(hide_password=False), tmp_path / "artifacts"))

    tokens = [issuer.token(" ".join(ALL_SCOPES)), issuer.token(exp=1), issuer.token(aud="others"), Issuer().token()]
    sent = [*secrets.values(), slow, new_secret(), secrets["read"][:-2], *tokens, "Basic YWxpY2U6c2VjcmV0"]
    known = [*secrets.values(), slow, tokens[0]]
    codes = {code for one in sent for code in call_all(target, one, WAYS if one in known else WAYS[:1])}
    with psycopg.connect(postgresql_url_fresh.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("ALTER TABLE item RENAME TO item_away")
        connection.execute("ALTER TABLE interaction RENAME TO interaction_away")
    codes |= set(call_all(target, tokens[0]))
    (tmp_path / "keys.toml").write_text(f'broken = "{sent[0]}')
    (tmp_path / "jwks.json").write_text(f'{{"keys": ["{sent[0]}"')
    codes |= set(call_all(target, secrets["admin"]))
    assert codes >= {
        grpc.StatusCode.OK,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.UNAVAILABLE,
    }
    server.terminate()
    out, _ = server.communicate(timeout=30)
    said = out + (tmp_path / "server.log").read_text()
    for event in ('"call"', '"refused"', '"audit"'):
        assert f'"event": {event}' in said
    for secret in [PASSWORD, *sent]:
        assert secret not in said
        assert secret.rpartition(".")[2] not in said  # the signature of a token
        assert secret[3:] not in said


def call_all(target: str, credential: str, ways: tuple[bytes, ...] = WAYS) -> list[grpc.StatusCode]:
    """How every rpc ends with several requests."""
    codes = []
    metadata = bearer(credential) if " " not in credential else (("authorization", credential),)
    with grpc.insecure_channel(target) as channel:
        for rpc in RPCS.values():
            for data in ways:
                raw: Any = channel.stream_stream(rpc.path)
                call = raw(iter([data]), timeout=30, metadata=metadata)
                with suppress(grpc.RpcError):
                    list(call)
                codes.append(call.code())
    return codes


@pytest.mark.parametrize(
    "options",
    [
        ["--database", f"postgresql+psycopg://shop:{PASSWORD}@127.0.0.1:1/none"],
        ["--database", f"shop:{PASSWORD}@store"],
        ["--database", f"postgresql+psycopg://shop:{PASSWORD}/x@store/none"],
        ["--database", f"mysql://shop:{PASSWORD}@store/none"],
        ["--database", f"postgresql+psycopg://shop:{PASSWORD}@127.0.0.1:port/none"],
    ],
)
def test_a_server_that_cannot_start_says_no_password(options: list[str]) -> None:
    from typer.testing import CliRunner

    from server.cli import app

    answer = CliRunner().invoke(app, ["serve", *options])
    assert answer.exit_code == 2, answer.exception
    assert len(answer.output) > 20
    assert PASSWORD not in answer.output
