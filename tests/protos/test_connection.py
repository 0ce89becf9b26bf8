"""Where a client connects to, how that is encrypted, and that a token is shown nowhere, nor sent in the open."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import penchant
import pytest
from penchant import ConfigurationError
from penchant.addresses import are_loopback, split, target_of
from penchant.connection import connection
from penchant.v1.server_pb2 import GetServerInfoResponse

from tests.protos.conftest import Connect, FakeServer, Running

TOKEN = "s3cret-t0ken"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ADDRESS", "CA", "CERTIFICATE", "KEY", "SERVER_NAME", "TOKEN", "API_KEY"):
        monkeypatch.delenv(f"PENCHANT_CLIENT_{name}", raising=False)


@dataclass(frozen=True)
class Files:
    """Certificates of one authority: of a server named `penchant.test`, and of a client."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority of a test")
    for name in ("server", "client"):
        openssl("req", "-x509", *key, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-addext", "subjectAltName=DNS:penchant.test", "-addext", "basicConstraints=critical,CA:FALSE",
                "-CA", "ca.pem", "-CAkey", "ca.key")  # fmt: skip
    return Files(*(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")))


@dataclass(frozen=True)
class Secured:
    """A server with TLS; `seen` is the metadata of the calls that it answered."""

    target: str
    seen: list[dict[str, Any]]


@pytest.fixture
def secured(files: Files) -> Iterator[Callable[[bool], Secured]]:
    """Starts servers; given True, one that asks for a client's certificate."""
    servers: list[grpc.Server] = []

    class Remembering(FakeServer):
        seen: list[dict[str, Any]]

        def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
            self.seen.append(dict(handler_call_details.invocation_metadata or ()))
            return super().service(handler_call_details)

    def start(mutual: bool) -> Secured:
        server, fake = grpc.server(ThreadPoolExecutor(2)), Remembering()
        fake.seen = []
        for _ in range(2):
            fake.answers("GetServerInfo", GetServerInfoResponse(model_version="m7.12"))
        server.add_generic_rpc_handlers((fake,))
        pair = (files.server_key.read_bytes(), files.server.read_bytes())
        credentials = grpc.ssl_server_credentials([pair], files.ca.read_bytes(), mutual)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        servers.append(server)
        return Secured(f"127.0.0.1:{port}", fake.seen)

    yield start
    for server in servers:
        server.stop(None).wait()


def test_tls_with_an_authority_of_ones_own(secured: Callable[[bool], Secured], files: Files, connect: Connect) -> None:
    client = connect(secured(False).target, ca=files.ca, server_name="penchant.test")
    assert client.get_server_info().model_version == "m7.12"


def test_mutual_tls(secured: Callable[[bool], Secured], files: Files, connect: Connect, pauses: list[float]) -> None:
    server = secured(True)
    known = {"ca": files.ca, "server_name": "penchant.test"}
    assert connect(server.target, **known, certificate=files.client, key=files.client_key).get_server_info()
    with pytest.raises(penchant.UnavailableError):
        connect(server.target, **known).get_server_info()


def test_a_certificate_of_another_name_is_refused(
    secured: Callable[[bool], Secured], files: Files, connect: Connect, pauses: list[float]
) -> None:
    server = secured(False)
    with pytest.raises(penchant.UnavailableError):
        connect(server.target, ca=files.ca).get_server_info()
    assert server.seen == []


def test_the_environment_stands_in_for_arguments(
    secured: Callable[[bool], Secured], files: Files, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = secured(True)
    given = {
        "ADDRESS": server.target,
        "CA": str(files.ca),
        "CERTIFICATE": str(files.client),
        "KEY": str(files.client_key),
        "SERVER_NAME": "penchant.test",
        "TOKEN": TOKEN,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"PENCHANT_CLIENT_{name}", value)
    assert connect().get_server_info().model_version == "m7.12"
    assert server.seen[-1]["authorization"] == f"Bearer {TOKEN}"
    connect(token="another", api_key="k1").get_server_info()  # an argument wins
    assert (server.seen[-1]["authorization"], server.seen[-1]["x-api-key"]) == ("Bearer another", "k1")


def test_several_addresses_are_one_target(running: Running, connect: Connect) -> None:
    port = running.target.rpartition(":")[2]
    for _ in range(4):
        running.fake.answers("GetServerInfo", GetServerInfoResponse())
    client = connect(f"localhost:{port}, 127.0.0.1:{port}")
    for _ in range(2):
        client.get_server_info()
    assert connect([f"localhost:{port}", "127.0.0.1:1"]).get_server_info() == GetServerInfoResponse()


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        (["shop.example:443"], "shop.example:443"),
        (["dns:///shop.example:443"], "dns:///shop.example:443"),
        (["10.0.0.1:1", "10.0.0.2:2"], "ipv4:10.0.0.1:1,10.0.0.2:2"),
        (["[fd00::1]:1", "[fd00::2]:2"], "ipv6:[fd00::1]:1,[fd00::2]:2"),
    ],
)
def test_addresses_become_targets(addresses: list[str], target: str) -> None:
    assert target_of(split(addresses)) == target


@pytest.mark.parametrize(
    "address", ["", "shop", "shop:", "shop:http", "shop:70000", "::1", "http://shop:80", ["a:1", "b"]]
)
def test_what_is_no_address_is_refused_with_how_to_write_one(address: str | list[str]) -> None:
    with pytest.raises(ConfigurationError, match="host:port"):
        connection(address)


def test_names_that_nobody_knows_are_named() -> None:
    with pytest.raises(ConfigurationError, match=r"no-such-host\.invalid"):
        target_of(["no-such-host.invalid:1", "127.0.0.1:1"])


def test_two_kinds_of_addresses_are_not_mixed() -> None:
    with pytest.raises(ConfigurationError, match="cannot be mixed"):
        target_of(["10.0.0.1:1", "[fd00::2]:2"])


@pytest.mark.parametrize(
    ("address", "is_so"),
    [
        ("localhost:1", True),
        ("127.0.0.2:1", True),
        ("[::1]:1", True),
        ("unix:/run/penchant", True),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
        ("dns:///localhost:1", False),
        ("127.0.0.1.example:1", False),
        ("0.0.0.0:1", False),
    ],
)
def test_what_is_loopback(address: str, is_so: bool) -> None:
    assert are_loopback(split(address)) is is_so


@pytest.mark.parametrize("secret", [{"token": TOKEN}, {"api_key": TOKEN}])
@pytest.mark.parametrize("address", ["10.0.0.1:1", "127.0.0.1:1,10.0.0.1:1"])
def test_a_token_is_not_sent_unencrypted(secret: dict[str, str], address: str, connect: Connect) -> None:
    with pytest.raises(ConfigurationError, match="without encryption") as caught:
        connect(address, **secret)
    assert TOKEN not in str(caught.value)
    connect(address, **secret, plaintext_token=True)
    connect(address, **secret, ca="default", server_name="shop.example")


def test_a_token_goes_to_this_machine(running: Running, connect: Connect) -> None:
    running.fake.answers("GetServerInfo", GetServerInfoResponse())
    assert connect(running.target, token=TOKEN).get_server_info() == GetServerInfoResponse()


def test_a_token_is_in_no_repr_and_in_no_error(connect: Connect, pauses: list[float]) -> None:
    where = connection("127.0.0.1:1", token=TOKEN)
    assert TOKEN not in f"{where!r} {where}"
    for kind in (penchant.PenchantClient, penchant.AsyncPenchantClient):
        told = repr(kind("127.0.0.1:1", token=TOKEN))
        assert TOKEN not in told
        assert "127.0.0.1:1" in told
    with pytest.raises(penchant.UnavailableError) as caught:
        connect("127.0.0.1:1", token=TOKEN).get_server_info()
    assert TOKEN not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"


@pytest.mark.parametrize("secret", ["two words", "line\nline", "schlüssel", "\t"])
def test_a_token_that_no_header_can_carry_is_not_shown(secret: str) -> None:
    with pytest.raises(ConfigurationError, match="no header can carry") as caught:
        connection("127.0.0.1:1", token=secret)
    assert secret.strip() == "" or secret not in str(caught.value)


def test_the_end_of_a_line_is_no_part_of_a_token() -> None:
    assert connection("127.0.0.1:1", token=f"{TOKEN}\n").metadata == (("authorization", f"Bearer {TOKEN}"),)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"certificate": "client.pem"}, "without its key"),
        ({"key": "client.key"}, "without its certificate"),
        ({"ca": "no-such-file.pem"}, r"no-such-file\.pem cannot be read"),
        ({"ca": b"no PEM"}, "no PEM file"),
        ({"ca": "default", "credentials": grpc.ssl_channel_credentials()}, "Both credentials and files"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        connection("127.0.0.1:1", **arguments)


def test_several_addresses_with_tls_need_a_name() -> None:
    with pytest.raises(ConfigurationError, match="server_name"):
        connection("10.0.0.1:1,10.0.0.2:1", ca="default")
