"""Certificates are checked at start, renewed under open connections, and asked of clients where that is set."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import structlog.testing
from penchant.v1 import server_pb2 as pb

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.app import App, start
from tests.server.certificates import Authority, Issued

INFO = "/penchant.v1.ServerService/GetServerInfo"
Serve = Callable[..., App]


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("the shop")


@pytest.fixture
def serve(sqlite_url: str, tmp_path: Path) -> Iterator[Serve]:
    """A server over an empty store, its certificate written into the test's folder first."""
    started: list[App] = []

    def one(issued: Issued, **changes: Any) -> App:
        certificate, key = issued.write(tmp_path)
        settings = {"database_url": sqlite_url, "listen": "127.0.0.1:0"}
        started.append(start(Settings(**{**settings, "tls_certificate": certificate, "tls_key": key, **changes})))
        return started[-1]

    yield one
    for each in started:
        each.stop(0)


def connect(app: App, roots: bytes, issued: Issued | None = None) -> grpc.Channel:
    """With a connection of its own: channels of one process share theirs."""
    own = (issued.key, issued.certificate) if issued else (None, None)
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    return grpc.secure_channel(f"127.0.0.1:{app.port}", grpc.ssl_channel_credentials(roots, *own), options)


def ask(channel: grpc.Channel) -> grpc.StatusCode:
    call: Any = channel.unary_unary(INFO, response_deserializer=pb.GetServerInfoResponse.FromString)
    try:
        assert call(b"", timeout=20).api == "penchant.v1"
    except grpc.RpcError as error:
        ended: Any = error
        return ended.code()  # type: ignore[no-any-return]  # grpc's errors have no types
    return grpc.StatusCode.OK


def test_a_client_that_trusts_the_authority_is_answered_and_one_without_tls_is_not(
    serve: Serve, authority: Authority
) -> None:
    app = serve(authority.issue("server"))
    with connect(app, authority.certificate) as channel:
        assert ask(channel) is grpc.StatusCode.OK
    with connect(app, Authority("somebody else").certificate) as channel:
        assert ask(channel) is grpc.StatusCode.UNAVAILABLE
    with grpc.insecure_channel(f"127.0.0.1:{app.port}") as channel:
        assert ask(channel) is grpc.StatusCode.UNAVAILABLE


def test_a_renewed_certificate_is_taken_without_a_restart_and_open_connections_go_on(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    app, new = serve(authority.issue("server")), Authority("its successor")
    with connect(app, authority.certificate) as old:
        assert ask(old) is grpc.StatusCode.OK
        new.issue("server").write(tmp_path)
        with connect(app, new.certificate) as channel:
            assert ask(channel) is grpc.StatusCode.OK
        with connect(app, authority.certificate) as channel:
            assert ask(channel) is grpc.StatusCode.UNAVAILABLE
        assert ask(old) is grpc.StatusCode.OK


def test_a_bad_renewal_leaves_the_certificate_before_and_is_one_error_in_the_log(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    app = serve(authority.issue("server"))
    with structlog.testing.capture_logs() as said:
        (tmp_path / "server.pem").write_bytes(authority.issue("server").certificate)  # its key is still to come
        for _ in range(2):
            with connect(app, authority.certificate) as channel:
                assert ask(channel) is grpc.StatusCode.OK
        os.unlink(tmp_path / "server.key")
        with connect(app, authority.certificate) as channel:
            assert ask(channel) is grpc.StatusCode.OK
    errors = [line["message"] for line in said if line["log_level"] == "error"]
    assert ["is not the key of" in errors[0], "cannot be read" in errors[1]] == [True, True]
    assert len(errors) == 2
    new = Authority("its successor")
    new.issue("server").write(tmp_path)
    with connect(app, new.certificate) as channel:
        assert ask(channel) is grpc.StatusCode.OK


def test_with_an_authority_for_clients_only_its_clients_are_let_in(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    clients, others = Authority("clients"), Authority("others")
    (tmp_path / "clients.pem").write_bytes(clients.certificate)
    app = serve(authority.issue("server"), tls_client_ca=tmp_path / "clients.pem")
    for issued, code in (
        (clients.issue("web"), grpc.StatusCode.OK),
        (None, grpc.StatusCode.UNAVAILABLE),
        (others.issue("web"), grpc.StatusCode.UNAVAILABLE),
        (clients.issue("web", days=-1), grpc.StatusCode.UNAVAILABLE),
    ):
        with connect(app, authority.certificate, issued) as channel:
            assert ask(channel) is code
    (tmp_path / "clients.pem").write_bytes(others.certificate)
    with connect(app, authority.certificate, others.issue("web")) as channel:
        assert ask(channel) is grpc.StatusCode.OK


def test_a_client_that_has_a_certificate_is_called_by_its_name_in_the_audit(
    serve: Serve, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "clients.pem").write_bytes(authority.certificate)
    app = serve(authority.issue("server"), tls_client_ca=tmp_path / "clients.pem")
    with (
        structlog.testing.capture_logs() as said,
        connect(app, authority.certificate, authority.issue("web")) as channel,
    ):
        call: Any = channel.unary_unary("/penchant.v1.CatalogService/DeleteItem")
        call(b"\x0a\x02i1", timeout=20)
    assert [(line["caller"], line["code"]) for line in said if line["event"] == "audit"] == [("certificate:web", "OK")]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder, ca: (folder / "server.pem").unlink(), "server.pem cannot be read: No such file"),
        (lambda folder, ca: (folder / "server.pem").write_text("none"), "server.pem holds no certificate in PEM"),
        (lambda folder, ca: (folder / "server.key").write_text("none"), "server.key is no private key in PEM"),
        (lambda folder, ca: ca.issue("x", password=b"secret").write(folder), "no private key in PEM without a pass"),
        (lambda folder, ca: (folder / "server.key").write_bytes(ca.issue("x").key), "server.key is not the key of"),
        (lambda folder, ca: ca.issue("x", days=-1).write(folder), "server.pem was valid until "),
        (lambda folder, ca: (folder / "clients.pem").write_text(""), "clients.pem holds no certificate in PEM"),
    ],
)
def test_files_that_cannot_be_used_refuse_the_start_by_name(
    authority: Authority, sqlite_url: str, tmp_path: Path, spoil: Callable[[Path, Authority], object], message: str
) -> None:
    certificate, key = authority.issue("server").write(tmp_path)
    (tmp_path / "clients.pem").write_bytes(authority.certificate)
    spoil(tmp_path, authority)
    settings = Settings(
        database_url=sqlite_url,
        listen="127.0.0.1:0",
        tls_certificate=certificate,
        tls_key=key,
        tls_client_ca=tmp_path / "clients.pem",
    )
    with pytest.raises(BadInputError, match=message):
        start(settings)


@pytest.mark.parametrize("given", [["tls_certificate"], ["tls_key"], ["tls_client_ca"], ["tls_key", "tls_client_ca"]])
def test_half_of_the_settings_is_none(sqlite_url: str, tmp_path: Path, given: list[str]) -> None:
    settings = {"database_url": sqlite_url, "listen": "127.0.0.1:0"} | dict.fromkeys(given, str(tmp_path / "x"))
    with pytest.raises(BadInputError, match="TLS needs tls_certificate and tls_key"):
        start(Settings.model_validate(settings))
