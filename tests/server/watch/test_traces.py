"""The spans of a call: whose child it is, and what took its time."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as collector
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id
from penchant.v1 import interest_pb2 as pb
from penchant.v1.interest_pb2_grpc import InterestServiceStub

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.watch.batches import Batch, WatchedBatches
from server.watch.call import CURRENT, Call
from server.watch.stages import staged
from server.watch.watch import Watch

if TYPE_CHECKING:
    from tests.server.conftest import Running
    from tests.server.watch.conftest import Watched

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SCORE = "penchant.v1.InterestService/Score"


def traced(sampled: bool = True) -> tuple[tuple[str, str], ...]:
    return (("traceparent", f"00-{TRACE}-{SPAN}-{'01' if sampled else '00'}"),)


def spans_after(watched: "Watched", ask: Callable[[InterestServiceStub], Any]) -> list[ReadableSpan]:
    watched.spans.clear()
    with grpc.insecure_channel(watched.target) as channel:
        ask(InterestServiceStub(channel))
    return list(watched.spans.get_finished_spans())


def test_a_score_is_call_wait_store_and_model_below_its_caller(watched: "Watched", eventually: Any) -> None:
    request = pb.ScoreRequest(user="traced", items=["i1"])
    spans = spans_after(watched, lambda stub: stub.Score(request, metadata=traced(), timeout=30))
    eventually(lambda: len(watched.spans.get_finished_spans()) >= 4)
    spans = list(watched.spans.get_finished_spans())
    assert {format_trace_id(span.context.trace_id) for span in spans} == {TRACE}
    call = next(span for span in spans if span.name == SCORE)
    assert call.kind is SpanKind.SERVER
    assert call.parent is not None
    assert format_span_id(call.parent.span_id) == SPAN
    assert call.attributes is not None
    assert call.attributes["rpc.response.status_code"] == "OK"
    parts = {span.name: span for span in spans if span is not call}
    assert set(parts) == {"wait", "store", "model"}
    for part in parts.values():
        assert part.parent is not None
        assert part.parent.span_id == call.context.span_id
        assert part.attributes is not None
        assert part.attributes["penchant.batch.calls"] == 1
    times = [call.start_time, *(t for name in ("wait", "store", "model") for t in times_of(parts[name])), call.end_time]
    assert times == sorted(times)  # type: ignore[type-var]  # none of them is None, they are over


def times_of(span: ReadableSpan) -> tuple[int, int]:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.start_time, span.end_time


def test_a_call_outside_of_batches_has_its_reading_of_the_store(watched: "Watched", eventually: Any) -> None:
    request = pb.GetInterestsRequest(user="u1", k=3)
    spans_after(watched, lambda stub: stub.GetInterests(request, metadata=traced(), timeout=30))
    eventually(lambda: len(watched.spans.get_finished_spans()) >= 2)
    call, store = sorted(watched.spans.get_finished_spans(), key=lambda span: span.name)
    assert (call.name, store.name) == ("penchant.v1.InterestService/GetInterests", "store")
    assert store.parent is not None
    assert store.parent.span_id == call.context.span_id


def test_a_refusal_is_no_error_of_the_server_and_a_bug_is(
    watched: "Watched", eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(stub: InterestServiceStub) -> None:
        with pytest.raises(grpc.RpcError):
            stub.Score(pb.ScoreRequest(user=""), metadata=traced(), timeout=30)
        monkeypatch.setattr("server.engine.Engine.known", lambda *_: 1 / 0)
        with pytest.raises(grpc.RpcError):
            stub.Score(pb.ScoreRequest(user="broken", items=["i1"]), metadata=traced(), timeout=30)

    spans_after(watched, ask)
    eventually(lambda: len([one for one in watched.spans.get_finished_spans() if one.name == SCORE]) == 2)
    refused, broken = [span for span in watched.spans.get_finished_spans() if span.name == SCORE]
    assert (refused.status.status_code, broken.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)
    assert broken.attributes is not None
    assert broken.attributes["error.type"] == "INTERNAL"
    assert "store" in {span.name for span in watched.spans.get_finished_spans()}  # it came as far as that


def test_the_callers_decision_holds_and_else_the_ratio(watched: "Watched") -> None:
    request = pb.ScoreRequest(user="u1", items=["i1"])

    def ask(stub: InterestServiceStub) -> None:
        for metadata in (traced(sampled=False), (), (("traceparent", "nonsense"),)):  # the ratio is 0 here
            stub.Score(request, metadata=metadata, timeout=30)

    assert spans_after(watched, ask) == []


class Collector(TraceServiceServicer):
    """What an OTLP collector is to its senders."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, str]] = []

    def Export(self, request: collector.ExportTraceServiceRequest, context: object) -> Any:  # noqa: N802  # gRPC's name
        for resource in request.resource_spans:
            service = {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"]
            self.spans += [(service, span.name) for scope in resource.scope_spans for span in scope.spans]
        return collector.ExportTraceServiceResponse()


def test_spans_reach_a_collector_before_the_server_ends(run: "Callable[..., Running]") -> None:
    taking = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_TraceServiceServicer_to_server(taking, server)  # type: ignore[no-untyped-call]  # generated, without types
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        running = run(otlp_endpoint=f"http://127.0.0.1:{port}", trace_ratio=1.0)
        running.client.score("u1", ["i1"])
        running.app.stop(0)
    finally:
        server.stop(0).wait(30)
    assert set(taking.spans) == {("penchant", name) for name in (SCORE, "wait", "store", "model")}


def test_calls_of_one_batch_each_have_its_stages() -> None:
    """Two questions wait while the first is answered: they share a batch, and each is told of all of it."""
    may = asyncio.Event()
    told: list[tuple[Call, int, list[str]]] = []
    waits: list[Sequence[float]] = []

    async def ask_three() -> None:
        loop = asyncio.get_running_loop()

        @staged("store")
        def work(questions: Sequence[int]) -> Sequence[int]:
            if 1 in questions:
                asyncio.run_coroutine_threadsafe(may.wait(), loop).result(30)
            return [2 * question for question in questions]

        def answered(call: Call, asked_ns: int, batch: Batch) -> None:
            told.append((call, batch.calls, [stage.name for stage in batch.stages]))

        batches: WatchedBatches[int, int] = WatchedBatches(
            work, most=4, patience_s=9.0, began=waits.append, went_through=lambda stage: None, answered=answered
        )
        batches.start()

        async def ask(question: int) -> int:
            CURRENT.set(Call(object()))  # type: ignore[arg-type]  # of which nothing is asked
            return await batches.ask(question)

        first = asyncio.create_task(ask(1))
        while batches.waiting or not waits:
            await asyncio.sleep(0.01)
        others = [asyncio.create_task(ask(question)) for question in (2, 3)]
        while batches.waiting < 2:
            await asyncio.sleep(0.01)
        may.set()
        assert await asyncio.gather(first, *others) == [2, 4, 6]
        await asyncio.to_thread(batches.stop)

    asyncio.run(asyncio.wait_for(ask_three(), 30))
    assert [(calls, stages) for _, calls, stages in told] == [(1, ["store"]), (2, ["store"]), (2, ["store"])]
    assert [len(each) for each in waits] == [1, 2]
    assert len({id(call) for call, _, _ in told}) == 3


def test_traces_without_their_packages_are_refused_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import server.watch

    monkeypatch.delattr(server.watch, "traces", raising=False)
    monkeypatch.setitem(sys.modules, "server.watch.traces", None)
    with pytest.raises(BadInputError, match=r"penchant\[otel\]"):
        Watch(Settings(otlp_endpoint="http://localhost:4317"), "1")


def test_an_endpoint_says_whether_it_is_encrypted() -> None:
    with pytest.raises(BadInputError, match="https"):
        Watch(Settings(otlp_endpoint="localhost:4317"), "1")
