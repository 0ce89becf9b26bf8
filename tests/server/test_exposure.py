"""Nothing is open to strangers unless somebody said so."""

from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.app import start
from server.exposure import check_exposure, stays_here, warn_of_open_files

OPEN = "0.0.0.0:50051"
TLS: dict[str, Any] = {"tls_certificate": "server.pem", "tls_key": "server.key"}


@pytest.mark.parametrize(
    "listen",
    ["127.0.0.1:0", "127.0.0.2:50051", "localhost:50051", "[::1]:50051", "ipv4:127.0.0.1:1", "unix:/run/p", "unix:p"],
)
def test_loopback_and_socket_files_stay_on_this_machine(listen: str) -> None:
    assert stays_here(listen)
    check_exposure(Settings(listen=listen))


@pytest.mark.parametrize(
    "listen",
    [
        OPEN,
        "[::]:50051",
        ":50051",
        "*:50051",
        "10.0.0.1:50051",
        "[2001:db8::1]:1",
        "shop.example:50051",
        "localhost.example:1",
        "dns:///localhost:1",
        "ipv4:127.0.0.1:1,0.0.0.0:2",
        "ipv6:[::]:1",
        "50051",
        "",
    ],
)
def test_all_else_is_refused_and_says_what_to_set(listen: str) -> None:
    assert not stays_here(listen)
    with pytest.raises(
        BadInputError, match=r"tls_certificate and tls_key.*auth_keys, jwt_jwks or tls_client_ca"
    ) as caught:
        check_exposure(Settings(listen=listen))
    assert "--insecure" in str(caught.value)


def test_it_takes_both_tls_and_authentication(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="without authentication"):
        check_exposure(Settings(listen=OPEN, **TLS))
    with pytest.raises(BadInputError, match="without TLS"):
        check_exposure(Settings(listen=OPEN, auth_keys="keys.toml"))
    for how in ("auth_keys", "jwt_jwks", "tls_client_ca"):
        check_exposure(Settings.model_validate({"listen": OPEN, **TLS, how: "file"}))


def test_the_server_does_not_start_open(sqlite_url: str) -> None:
    with pytest.raises(BadInputError, match="can be reached from elsewhere"):
        start(Settings(database_url=sqlite_url, listen="0.0.0.0:0"))


def test_insecure_starts_it_with_a_warning(sqlite_url: str) -> None:
    with structlog.testing.capture_logs() as said:
        app = start(Settings(database_url=sqlite_url, listen="0.0.0.0:0", insecure=True))
        app.stop(0)
    warnings = [line for line in said if line["log_level"] == "warning"]
    assert [line["event"] for line in warnings] == ["insecure"]
    assert "without TLS" in warnings[0]["message"]
    with structlog.testing.capture_logs() as said:
        check_exposure(Settings(insecure=True))
    assert not said  # nothing is open


@pytest.mark.parametrize(
    ("name", "mode", "warns"),
    [
        ("tls_key", 0o644, True),
        ("tls_key", 0o640, False),
        ("auth_keys", 0o604, True),
        ("auth_keys", 0o602, True),
        ("auth_keys", 0o600, False),
        ("jwt_jwks", 0o644, False),
        ("jwt_jwks", 0o646, True),
    ],
)
def test_a_file_with_secrets_that_everybody_may_open_is_named(
    tmp_path: Path, name: str, mode: int, warns: bool
) -> None:
    file = tmp_path / "secret"
    file.touch()
    file.chmod(mode)
    with structlog.testing.capture_logs() as said:
        warn_of_open_files(Settings.model_validate({name: file}))
    assert [line["setting"] for line in said] == ([name] if warns else [])
