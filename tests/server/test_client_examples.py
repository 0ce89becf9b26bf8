"""The examples of clients, as a reader would start them, against a running server."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from penchant.v1.interest_pb2 import RecommendResponse

from tests.protos.conftest import FakeServer, Refusal

if TYPE_CHECKING:
    from tests.server.conftest import Served

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "clients"
PACKAGES = ROOT / "tests" / "protos" / "node"


def run(address: str, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PENCHANT_CLIENT_ADDRESS": address}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_a_shop_page(served: "Served") -> None:
    ended = run(served.target, sys.executable, EXAMPLES / "shop_page.py", "u1")
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    said = {kind: list(rows) for kind, rows in groupby(lines, lambda line: line.split()[0])}
    assert list(said) == ["likes", "show", "click", "like"]
    assert [len(said[kind]) for kind in ("show", "click", "like")] == [5, 1, 3]
    assert said["click"][0].endswith("recorded")


def test_many_users_at_once(served: "Served") -> None:
    users = [f"u{n}" for n in range(20)]
    ended = run(served.target, sys.executable, EXAMPLES / "rank_many.py", *users)
    assert ended.returncode == 0, ended.stderr
    assert [line.split(":")[0] for line in ended.stdout.splitlines()] == users


@pytest.mark.parametrize("name", ["shop_page.py", "rank_many.py"])
def test_no_server_is_a_sentence(name: str) -> None:
    ended = run("127.0.0.1:1", sys.executable, EXAMPLES / name)
    assert ended.returncode == 1
    assert ended.stderr.startswith("UNAVAILABLE: ")
    assert "Traceback" not in ended.stderr


@pytest.fixture(scope="module")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example beside the packages of the tests, so that they are not installed a second time."""
    if shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    if not (PACKAGES / "node_modules").exists():
        fetched = subprocess.run(["npm", "ci", "--silent"], cwd=PACKAGES, capture_output=True, text=True, check=False)
        if fetched.returncode:
            pytest.skip(f"@grpc/grpc-js cannot be installed: {fetched.stderr.strip()[:200]}")
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLES, folder / "examples" / "clients", ignore=shutil.ignore_patterns("node_modules"))
    (folder / "protos").symlink_to(ROOT / "protos")
    (folder / "node_modules").symlink_to(PACKAGES / "node_modules")
    return folder / "examples" / "clients" / "node" / "recommend.mjs"


@pytest.mark.network
@pytest.mark.timeout(180)
def test_node(served: "Served", node_example: Path) -> None:
    ended = run(served.target, "node", node_example, "u1")
    assert ended.returncode == 0, ended.stderr
    *shown, last = ended.stdout.splitlines()
    assert len(shown) == 5
    assert all(line.startswith("show ") for line in shown)
    assert last == "from m1.1"


@pytest.fixture
def scripted() -> Iterator[tuple[FakeServer, str]]:
    server, fake = grpc.server(ThreadPoolExecutor(2)), FakeServer()
    server.add_generic_rpc_handlers((fake,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield fake, f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.mark.network
@pytest.mark.timeout(180)
def test_node_comes_back_when_the_server_asks_for_it(scripted: tuple[FakeServer, str], node_example: Path) -> None:
    """RESOURCE_EXHAUSTED is tried again only where RetryInfo was read; one that asks for too long ends the call."""
    fake, address = scripted
    fake.refuses("Recommend", grpc.StatusCode.RESOURCE_EXHAUSTED, reason="BUSY", retry_after_s=0.05)
    fake.answers("Recommend", RecommendResponse(model_version="m7.12"))
    ended = run(address, "node", node_example, "u1")
    assert (ended.returncode, ended.stdout) == (0, "from m7.12\n"), ended.stderr
    assert len(fake.asked["Recommend"]) == 2
    for refusal in (
        Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after_s=60),
        Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED),
        Refusal(grpc.StatusCode.INVALID_ARGUMENT, retry_after_s=0.05),
    ):
        fake.asked.clear()
        fake.answers("Recommend", refusal)
        ended = run(address, "node", node_example, "u1")
        assert (ended.returncode, len(fake.asked["Recommend"])) == (1, 1)
        assert ended.stderr == f"{refusal.code.name}: refused by script\n"
