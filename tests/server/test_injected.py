"""What goes wrong around a server: a full disk, models that vanish, a clock that jumps. It answers what it can, says
what it cannot, and is well again by itself."""

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from grpc_health.v1 import health_pb2
from penchant import Event, Item, PenchantClient
from penchant.errors import UnavailableError
from penchant.v1.event_pb2 import EVENT_STATUS_ACCEPTED

from graph.storage.times import SECOND_US, now_us
from tests.server.test_lifecycle import health_of

if TYPE_CHECKING:
    from tests.server.conftest import Running, World

Run = Callable[[], "Running"]
HOUR_US = 3_600 * SECOND_US


def event(name: str, us: int = 1_700_000_000 * SECOND_US) -> Event:
    made = Event(event_id=name, user="writer", item="i1", kind="view")
    made.occurred_at.FromMicroseconds(us)
    return made


def test_a_full_disk_refuses_writes_and_nothing_else(
    world: "World", serve: "Callable[[World], tuple[subprocess.Popen[str], str]]", eventually: Any
) -> None:
    server, target = serve(world)
    process = psutil.Process(server.pid)
    with PenchantClient(target, deadline_ms=30_000, retries=0) as client:
        assert client.record_events([event("before")]).outcomes[0].status == EVENT_STATUS_ACCEPTED
        process.rlimit(psutil.RLIMIT_FSIZE, (4_096, resource.RLIM_INFINITY))  # of any file, the log as well
        for name in ("full-1", "full-2"):
            with pytest.raises(UnavailableError) as caught:
                client.record_events([event(name)])
            assert (caught.value.reason, bool(caught.value.retry_after_s)) == ("STORE_UNAVAILABLE", True)
            assert client.score("u1", ["i1"]).history_events > 0
            assert client.score("writer", ["i1"]).history_events == 1
            assert client.get_item("i1").id == "i1"
        process.rlimit(psutil.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert client.record_events([event("after")]).outcomes[0].status == EVENT_STATUS_ACCEPTED
        eventually(lambda: client.score("writer", ["i1"]).history_events == 2)
    assert server.poll() is None


def test_models_that_come_after_the_start_are_served_without_another(
    world: "World", run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr("server.reload.RETRY_MS", 100)
    beside = world.artifacts.with_name("on their way")
    world.artifacts.rename(beside)
    running = run()
    assert health_of(running.target) == health_pb2.HealthCheckResponse.NOT_SERVING
    beside.rename(world.artifacts)
    eventually(lambda: health_of(running.target) == health_pb2.HealthCheckResponse.SERVING)
    assert running.client.recommend("u1", 3).model_version == "m1.1"


def test_models_that_vanish_while_they_serve_go_on(
    world: "World", run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr("server.reload.RETRY_MS", 100)
    running = run()
    before = running.client.recommend("u1", 5)
    beside = world.artifacts.with_name("away")
    shutil.copytree(world.artifacts, beside)
    shutil.rmtree(world.artifacts)
    assert [row.item for row in running.client.recommend("u1", 5).items] == [row.item for row in before.items]
    assert len(running.client.find_similar("items", item="i1").neighbours) == 10
    running.client.activate_model("m1.2", force=True, reason="a test")
    eventually(lambda: "manifest" in running.app._models.problem)
    assert running.client.recommend("u2", 5).model_version == "m1.1"
    assert health_of(running.target) == health_pb2.HealthCheckResponse.SERVING
    beside.rename(world.artifacts)
    eventually(lambda: running.client.get_server_info().model_version == "m1.2")


class Clock:
    """The time of day of everything that was imported; `ahead_us` may be negative."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_us = 0
        for name, module in list(sys.modules.items()):
            if name.startswith(("graph.", "training.", "server.")) and hasattr(module, "now_us"):
                monkeypatch.setattr(module, "now_us", self)

    def __call__(self) -> int:
        return now_us() + self.ahead_us


def test_a_clock_that_jumps_an_hour_back_and_forth(run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any) -> None:
    """What is recorded holds at once, whatever the clock said before; scores stay finite and nobody is refused."""
    running = run()
    client = running.client
    clock = Clock(monkeypatch)
    before = client.score("u1", ["i1"]).history_events
    for round_, ahead_us in enumerate((0, -HOUR_US, HOUR_US, -HOUR_US, 0)):
        clock.ahead_us = ahead_us
        (outcome,) = client.record_events([event(f"jump-{round_}", us=clock())]).outcomes
        assert outcome.status == EVENT_STATUS_ACCEPTED
        is_available = bool(round_ % 2)
        client.upsert_items([Item(id="i5", name=f"round {round_}", available=is_available)])
        item = client.get_item("i5")
        assert (item.name, item.available) == (f"round {round_}", is_available)
        eventually(lambda wanted=is_available: ("i5" in recommended(client)) == wanted)
        answer = client.score("u1", ["i1", "i2"])
        assert answer.history_events == before
        assert np.isfinite([row.score for row in answer.scores]).all()
        assert client.get_interests("u1").categories
        assert sum(len(chunk.ids) for chunk in client.export_embeddings("users")) >= 64
        assert client.delete_item("i7") == (round_ == 0)
    assert client.score("writer", ["i1"]).history_events >= 3
    assert running.app._models.problem == ""


def recommended(client: PenchantClient) -> list[str]:
    return [row.item for row in client.recommend("u1", 60).items]
