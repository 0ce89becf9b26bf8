"""The image's health check asks the server's probe, whatever else the server asks of its callers."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry

from server.watch.http import WatchServer
from server.watch.vitals import Answer
from tests.deploy.conftest import DEPLOY


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "[::]"])
def host(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def parts() -> dict[str, str]:
    return {"event loop": "ok"}


@pytest.fixture
def listen(host: str, parts: dict[str, str]) -> Iterator[str]:
    fine = {"ok"}
    server = WatchServer(
        f"{host}:0", CollectorRegistry(), {"/healthz": lambda: Answer(set(parts.values()) == fine, parts)}
    )
    server.start()
    yield f"{host}:{server.port}"
    server.stop()


def asked(listen: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, DEPLOY / "health.py"], env={"PENCHANT_METRICS_LISTEN": listen, "http_proxy": "http://no.where:1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_says_what_the_probe_says(listen: str, parts: dict[str, str]) -> None:
    assert asked(listen).returncode == 0
    parts["event loop"] = "did not answer within 1 s"
    ill = asked(listen)
    assert (ill.returncode, ill.stderr) == (1, "")
    assert "did not answer" in ill.stdout


def test_nobody_there_is_not_alive() -> None:
    assert asked("127.0.0.1:1").returncode == 1


def test_without_an_address_it_says_what_to_do() -> None:
    off = asked("")
    assert off.returncode == 1
    assert "--no-healthcheck" in off.stderr
