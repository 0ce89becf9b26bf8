"""Credentials, and how long a verified caller is remembered: to the end of the credentials or a change of the file."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog.testing

from graph.storage.errors import BadInputError, UnauthenticatedError
from graph.storage.settings import Settings
from server.auth import guard as guard_module
from server.auth.caller import Caller
from server.auth.guard import Guard, guard_of
from server.auth.keys import Keys, new_secret
from server.border import _guard_stream
from tests.server.auth.conftest import AUDIENCE, ISSUER, SECRETS, Guarded, Issuer, add_key, bearer
from tests.server.in_a_loop import in_a_loop

METHOD = "/penchant.v1.ServerService/GetServerInfo"


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> "Callable[[float], None]":
    """Sets the clock of the guard, seconds since 1970, and makes it look at its files at every call."""
    monkeypatch.setattr(guard_module, "LOOK_EVERY_S", 0.0)
    return lambda seconds: monkeypatch.setattr("server.auth.guard.time.time", lambda: seconds)


def keys_guard(path: Path, **changes: Any) -> Guard:
    return Guard(Settings(auth_keys=path, **changes))


def refused(guard: Guard, metadata: Any) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        guard.admit(METHOD, metadata)
    return caught.value.reason


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        (bearer(SECRETS["read"]), ""),
        ((("x-api-key", SECRETS["read"]),), ""),
        ((("authorization", f"bearer {SECRETS['read']}"),), ""),
        ((), "MISSING_CREDENTIALS"),
        ((("user", "alice"),), "MISSING_CREDENTIALS"),
        (bearer(new_secret()), "INVALID_CREDENTIALS"),
        (bearer(SECRETS["read"][:-1]), "INVALID_CREDENTIALS"),
        (bearer(SECRETS["read"] + "x"), "INVALID_CREDENTIALS"),
        ((("x-api-key", new_secret()),), "INVALID_CREDENTIALS"),
        ((("x-api-key", "pk_"),), "INVALID_CREDENTIALS"),
        (bearer(""), "INVALID_CREDENTIALS"),
        (bearer("no.such.token"), "INVALID_CREDENTIALS"),
        ((("authorization", SECRETS["read"]),), "INVALID_CREDENTIALS"),
        ((("authorization", "Basic YWxpY2U6c2VjcmV0"),), "INVALID_CREDENTIALS"),
        ((*bearer(SECRETS["read"]), ("x-api-key", SECRETS["read"])), "INVALID_CREDENTIALS"),
    ],
)
def test_credentials_come_as_bearer_or_api_key(guarded: Guarded, metadata: Any, reason: str) -> None:
    assert guarded.reason(metadata) == reason


def test_a_token_is_no_api_key(guarded: Guarded) -> None:
    token = guarded.issuer.token()
    assert guarded.reason(bearer(token)) == ""
    assert guarded.reason((("x-api-key", token),)) == "INVALID_CREDENTIALS"


def test_a_key_ends_when_it_expires_also_where_it_is_remembered(tmp_path: Path, now: Callable[[float], None]) -> None:
    path, secret, ends = tmp_path / "keys.toml", new_secret(), date(2030, 1, 1)
    add_key(path, "web", secret, "read", expires=ends)
    guard, moment = keys_guard(path), datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    now(moment - 1)
    caller = guard.admit(METHOD, bearer(secret))
    assert caller is not None
    assert caller.name == "key:web"
    now(moment)
    assert refused(guard, bearer(secret)) == "EXPIRED_CREDENTIALS"


def test_a_changed_file_counts_at_once_and_a_broken_one_changes_nothing(
    tmp_path: Path, now: Callable[[float], None]
) -> None:
    path, one, two = tmp_path / "keys.toml", new_secret(), new_secret()
    add_key(path, "one", one, "read")
    guard = keys_guard(path)
    guard.admit(METHOD, bearer(one))
    add_key(path, "two", two, "read")
    guard.admit(METHOD, bearer(two))
    whole = path.read_text()
    with structlog.testing.capture_logs() as said:
        path.write_text(whole.replace("[keys.two]", "[keys.two"))
        for _ in range(3):
            guard.admit(METHOD, bearer(two))
        path.unlink()
        guard.admit(METHOD, bearer(two))
    assert [line["log_level"] for line in said] == ["error", "error"]
    path.write_text(whole.partition("[keys.two]")[0])
    guard.admit(METHOD, bearer(one))
    assert refused(guard, bearer(two)) == "INVALID_CREDENTIALS"


def test_a_renewed_jwks_file_counts_at_once(tmp_path: Path, now: Callable[[float], None]) -> None:
    path, old, new = tmp_path / "jwks.json", Issuer("old"), Issuer("new")
    path.write_text(old.jwks)
    guard = Guard(Settings(jwt_jwks=path, jwt_issuer=ISSUER, jwt_audience=AUDIENCE))
    token = old.token()
    guard.admit(METHOD, bearer(token))
    path.write_text(new.jwks)
    assert refused(guard, bearer(token)) == "INVALID_CREDENTIALS"
    guard.admit(METHOD, bearer(new.token()))


def test_verified_once_is_verified_until_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, secret = tmp_path / "keys.toml", new_secret()
    add_key(path, "web", secret, "read")
    guard, asked = keys_guard(path), 0
    find = Keys.find

    def counted(keys: Keys, given: str) -> Caller | None:
        nonlocal asked
        asked += 1
        return find(keys, given)

    monkeypatch.setattr(Keys, "find", counted)
    for _ in range(5):
        guard.admit(METHOD, bearer(secret))
    assert asked == 1


def test_no_more_callers_are_remembered_than_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "MOST_KNOWN", 3)
    path, secrets = tmp_path / "keys.toml", [new_secret() for _ in range(6)]
    for number, secret in enumerate(secrets):
        add_key(path, f"k{number}", secret, "read")
    guard = keys_guard(path)
    for secret in secrets * 2:
        guard.admit(METHOD, bearer(secret))
        assert len(guard._known) <= 3
    for _ in range(9):
        assert refused(guard, bearer(new_secret())) == "INVALID_CREDENTIALS"
    assert len(guard._known) == 3
    assert not any(secret in repr(guard._known) for secret in secrets)


def test_settings_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    assert guard_of(Settings()) is None
    with pytest.raises(BadInputError, match="nothing says who calls"):
        guard_of(Settings(rate_per_caller=5))
    (tmp_path / "jwks.json").write_text(Issuer().jwks)
    for given in ({}, {"jwt_issuer": ISSUER}, {"jwt_audience": AUDIENCE}):
        with pytest.raises(BadInputError, match="needs jwt_issuer and jwt_audience"):
            guard_of(Settings.model_validate({"jwt_jwks": tmp_path / "jwks.json", **given}))
    with pytest.raises(BadInputError, match=r"keys\.toml cannot be read"):
        guard_of(Settings(auth_keys=tmp_path / "keys.toml"))


@in_a_loop
async def test_a_long_answer_ends_with_the_key_that_it_was_asked_for_with() -> None:
    looks: list[str] = []

    class Door:
        def check(self, method: str, metadata: object) -> None:
            looks.append(method)
            if len(looks) > 2:
                raise UnauthenticatedError("The key is gone.", hint="Ask for another.")

    class EndedError(Exception):
        """As gRPC ends a call."""

    class Context:
        def invocation_metadata(self) -> tuple[()]:
            return ()

        async def abort(self, code: grpc.StatusCode, *details: object) -> None:
            raise EndedError(code)

    def answers(request: Any, context: Any) -> Any:
        return iter(range(9))

    door: Any = Door()
    with ThreadPoolExecutor(1) as threads:
        chunks = _guard_stream("/shop/Export", answers, threads, door)(object(), Context())
        assert [await anext(chunks), await anext(chunks)] == [0, 1]
        with pytest.raises(EndedError, match="UNAUTHENTICATED"):
            await anext(chunks)
