"""What Prometheus reads from a running server."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from penchant import Event
from penchant.errors import PenchantError

from graph.storage import registry
from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server import known_users
from server.batcher import Batcher
from server.loaded import Loaded
from server.watch.watch import Watch
from tests.server.watch.conftest import Watched

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Running

SCORE = "/penchant.v1.InterestService/Score"


def test_calls_are_counted_by_method_and_code(watched: Watched) -> None:
    def count(**labels: str) -> float:
        return watched.sample("penchant_rpc_duration_seconds_count", **labels)

    before = count(method=SCORE, code="OK"), count(method=SCORE, code="INVALID_ARGUMENT")
    watched.client.score("u1", ["i1"])
    with pytest.raises(PenchantError):
        watched.client.score("", ["i1"])
    assert (count(method=SCORE, code="OK"), count(method=SCORE, code="INVALID_ARGUMENT")) == (
        before[0] + 1,
        before[1] + 1,
    )
    assert watched.sample("penchant_rpc_duration_seconds_sum", method=SCORE, code="OK") > 0
    assert watched.sample("penchant_rpc_in_flight", method=SCORE) == 0


def test_methods_that_there_are_not_share_one_series(watched: Watched) -> None:
    with grpc.insecure_channel(watched.target) as channel:
        for name in ("/penchant.v1.InterestService/Guess", "/made.up/Name"):
            call: Any = channel.unary_unary(name)
            with pytest.raises(grpc.RpcError):
                call(b"", timeout=30)
    samples = [one for one in watched.metrics()["penchant_rpc_duration_seconds"].samples if one.name.endswith("_count")]
    unknown = [one for one in samples if one.labels["code"] == "UNIMPLEMENTED"]
    assert [one.labels["method"] for one in unknown] == ["unknown"]
    assert unknown[0].value >= 2


def test_batches_waits_and_stages_are_counted(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_users, "FEED_S", 60)  # on a busy machine the feed may be read late

    def counts() -> list[float]:
        return [
            watched.sample("penchant_batch_calls_sum"),
            watched.sample("penchant_batch_wait_seconds_count"),
            watched.sample("penchant_stage_duration_seconds_count", stage="store"),
            watched.sample("penchant_stage_duration_seconds_count", stage="model"),
        ]

    before = counts()
    for _ in range(2):  # the second is answered with what was kept of the first
        watched.client.recommend("batched", 3)
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 1, 1]
    watched.client.get_interests("u1")  # reads the store in a thread of its own, in no batch
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 1, 2, 1]


def test_events_are_counted_by_what_became_of_them(watched: Watched) -> None:
    def count(outcome: str) -> float:
        return watched.sample("penchant_events_total", outcome=outcome)

    def event(name: str, item: str = "i1") -> Event:
        made = Event(event_id=name, user="counted", item=item, kind="view")
        made.occurred_at.FromSeconds(1_700_000_000)
        return made

    before = [count(name) for name in ("accepted", "unknown_item", "unreadable")]
    watched.client.record_events([event("one"), event("two"), event("three", item="no such item"), Event()])
    assert [count(name) for name in ("accepted", "unknown_item", "unreadable")] == [
        before[0] + 2,
        before[1] + 1,
        before[2] + 1,
    ]
    seen = watched.sample("penchant_newest_event_timestamp_seconds")
    assert seen > 1_700_000_000  # when it was recorded, not when it happened


def test_the_state_of_the_server_is_read_when_asked(watched: Watched, eventually: Any) -> None:
    assert watched.sample("penchant_model_info", version="m1.1") == 1
    assert watched.sample("penchant_model_loaded") == 1
    assert watched.sample("penchant_model_size", of="items") == 60
    assert watched.sample("penchant_model_as_of_timestamp_seconds") > 0
    assert watched.sample("penchant_model_published_timestamp_seconds") > 1_700_000_000
    assert watched.sample("penchant_model_reload_problem") == 0
    assert watched.sample("penchant_store_connections_limit") == 15
    assert watched.sample("penchant_batch_queue_length") == 0
    watched.client.score("kept", ["i1"])
    assert watched.sample("penchant_known_users") >= 1
    assert watched.sample("penchant_known_users_bytes") > 0
    assert watched.sample("process_resident_memory_bytes") > 1e6
    eventually(lambda: watched.sample("penchant_index_recall", index="items") == 1)  # exact, for so few
    with watched.app._database.connect():
        in_use = watched.sample("penchant_store_connections_in_use")
    assert in_use >= 1


def test_without_a_model_it_says_so_and_a_broken_one_is_a_problem(
    run: "Callable[..., Running]", eventually: Any
) -> None:
    running = run(metrics_listen="127.0.0.1:0")
    watched = Watched(running.app, running.target, running.client, InMemorySpanExporter())
    broken = registry.revisions(running.database)[-1]
    registry.activate(running.database, broken.version, forced=True, reason="a test")
    eventually(lambda: watched.sample("penchant_model_reload_problem") == 1)
    assert watched.sample("penchant_model_info", version="m1.1") == 1
    running.app._models._loaded = Loaded()
    assert watched.sample("penchant_model_loaded") == 0
    assert not watched.metrics()["penchant_model_as_of_timestamp_seconds"].samples


def test_what_is_off_is_not_there() -> None:
    def work(questions: Sequence[int]) -> Sequence[int]:
        return questions

    async def answer(request: Any, context: Any) -> None:
        """Nothing."""

    watch = Watch(Settings(metrics_listen="", otlp_endpoint=""), "1")
    assert type(watch.batches(work, most=4, patience_s=9.0)) is Batcher
    assert watch.port == 0
    assert watch.calls._watch(SCORE, 0)._observers == ()
    context: Any = object()  # of which nothing is asked
    asyncio.run(watch.calls.unary(SCORE, answer)(None, context))


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "256.0.0.1:1"])
def test_an_address_that_cannot_be_bound_is_told(run: "Callable[..., Running]", listen: str) -> None:
    with pytest.raises(BadInputError, match="metrics"):
        run(metrics_listen=listen)
