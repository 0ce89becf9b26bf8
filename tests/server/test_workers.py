"""Processes that serve as one: a crash of one is nobody else's, and all end with the one that watches them."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from penchant.client import PenchantClient
from penchant.v1.event_pb2 import Event
from typer.testing import CliRunner

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.cli import app
from server.workers import Workers, _of_worker
from tests.server.processes import spawned_by

if TYPE_CHECKING:
    from tests.server.conftest import World

Serve = Callable[..., tuple["subprocess.Popen[str]", str]]

ROOT = Path(__file__).parents[2]
START_S = 60.0
"""That a process may take to load all there is, beside others."""


def events_of(user: str, target: str) -> int:
    with PenchantClient(target, deadline_ms=30_000) as client:
        return client.recommend(user, 5).history_events


def score(target: str) -> str:
    """Asked by a connection of its own, so that any worker may get it."""
    with PenchantClient(target, deadline_ms=30_000) as client:
        return client.score("u1", ["i1"]).model_version


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_life_of_workers(world: "World", serve: Serve, eventually: Callable[..., Any]) -> None:
    process, target = serve(world, "--workers", "2")
    first, second = spawned_by(process)
    assert {score(target) for _ in range(8)} == {"m1.1"}

    event = Event(event_id="w1", user="worker-user", item="i5", kind="purchase")
    event.occurred_at.GetCurrentTime()
    with PenchantClient(target, deadline_ms=30_000) as writer:
        writer.record_events([event])
    eventually(lambda: {events_of("worker-user", target) for _ in range(8)} == {1})  # whichever worker is asked

    first.send_signal(signal.SIGKILL)
    first.wait(30)  # whose connections break; new ones go to the other
    assert {score(target) for _ in range(8)} == {"m1.1"}
    eventually(lambda: len({one.pid for one in spawned_by(process)} - {first.pid}) == 2, patience_s=START_S)
    assert second.is_running()

    workers = spawned_by(process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert psutil.wait_procs(workers, timeout=30)[1] == []


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_workers_do_not_outlive_who_watches_them(world: "World", serve: Serve) -> None:
    process, _ = serve(world, "--workers", "2")
    workers = spawned_by(process)
    assert len(workers) == 2
    process.kill()
    assert psutil.wait_procs(workers, timeout=60)[1] == []


@pytest.mark.timeout(240)
def test_workers_that_cannot_start_are_not_started_for_ever(tmp_path: Path) -> None:
    places = ["--database", f"sqlite:///{tmp_path / 'nothing.db'}", "--artifacts", str(tmp_path)]
    command = [sys.executable, "-m", "server", "serve", "--workers", "2", "--listen", "127.0.0.1:0", *places]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200, check=False)
    assert ended.returncode == 2
    assert "holds no penchant schema" in ended.stderr
    assert "Worker 1 could not start" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("listen", ["unix:/tmp/penchant.sock", "127.0.0.1"])
def test_an_address_that_cannot_be_shared_is_refused(listen: str) -> None:
    with pytest.raises(BadInputError, match="cannot share"):
        Workers(Settings(listen=listen, workers=2))
    answer = CliRunner().invoke(app, ["serve", "--workers", "2", "--listen", listen])
    assert answer.exit_code == 2


def test_workers_tell_their_metrics_on_ports_one_after_the_other() -> None:
    settings = Settings(metrics_listen="127.0.0.1:9464", workers=2)
    assert [_of_worker(settings, number).metrics_listen for number in (1, 2)] == ["127.0.0.1:9464", "127.0.0.1:9465"]
    assert _of_worker(Settings(), 2).metrics_listen == ""
