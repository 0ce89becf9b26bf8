"""Batches over a stream that breaks: what was not acknowledged is sent again, as it was, and nothing else."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import grpc
import penchant
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from penchant import Event, PenchantClient
from penchant.v1 import event_pb2 as pb
from penchant.v1.event_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server

if TYPE_CHECKING:
    from tests.protos.conftest import Connect

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Server(EventServiceServicer):
    """Each stream acknowledges as many batches as the script says for it, then ends with its code; then all."""

    def __init__(self, *script: tuple[int, grpc.StatusCode]) -> None:
        self._script = list(script)
        self.streams: list[list[pb.StreamEventsRequest]] = []
        """What each stream was sent."""

    def RecordEvents(  # noqa: N802  (the rpc's name)
        self, request: pb.RecordEventsRequest, context: grpc.ServicerContext
    ) -> pb.RecordEventsResponse:
        raise AssertionError("this test calls streams alone")

    def StreamEvents(  # noqa: N802  # the rpc's name
        self, request_iterator: Iterator[pb.StreamEventsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamEventsResponse]:
        count, code = self._script.pop(0) if self._script else (-1, grpc.StatusCode.OK)
        got: list[pb.StreamEventsRequest] = []
        self.streams.append(got)
        while count != 0 and (request := next(request_iterator, None)) is not None:
            got.append(request)
            count -= 1
            yield pb.StreamEventsResponse(batch=request.batch, accepted=len(request.events))
        if code is not grpc.StatusCode.OK:
            status = status_pb2.Status(code=code.value[0], message="by script")
            if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
                status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=10_000_000)))
            context.abort_with_status(rpc_status.to_status(status))


Serve = Callable[..., tuple[PenchantClient, Server]]


@pytest.fixture
def serve(connect: "Connect") -> Iterator[Serve]:
    opened: list[Any] = []

    def one(*script: tuple[int, grpc.StatusCode]) -> tuple[PenchantClient, Server]:
        servicer = Server(*script)
        server = grpc.server(ThreadPoolExecutor(4))
        add_EventServiceServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        opened.append(server)
        return connect(f"127.0.0.1:{port}"), servicer

    yield one
    for server in opened:
        server.stop(None).wait()


def batches(n: int) -> list[Sequence[Event]]:
    return [[Event(user=f"u{number}", item="i", kind="view")] for number in range(n)]


def test_every_batch_is_answered_in_order(serve: Serve) -> None:
    client, server = serve()
    answers = list(client.stream_events(batches(50)))
    assert [answer.batch for answer in answers] == [*range(1, 51)]
    assert [request.events[0].user for request in server.streams[0]] == [f"u{number}" for number in range(50)]


def test_a_broken_stream_goes_on_with_what_was_not_acknowledged(serve: Serve, pauses: list[float]) -> None:
    client, server = serve((3, UNAVAILABLE), (0, UNAVAILABLE), (2, grpc.StatusCode.RESOURCE_EXHAUSTED))
    answers = list(client.stream_events(batches(9)))
    assert [answer.batch for answer in answers] == [*range(1, 10)]
    numbers = [[request.batch for request in stream] for stream in server.streams]
    assert [stream[:1] for stream in numbers] == [[1], [], [4], [6]]
    assert numbers[-1] == [6, 7, 8, 9]
    assert len(pauses) == 3


def test_what_is_sent_again_is_what_was_sent(connect: "Connect", pauses: list[float]) -> None:
    """Random ids and times are given once, not once a try: else sending again would record twice."""
    sent: list[pb.StreamEventsRequest] = []

    class Broken(Server):
        def StreamEvents(  # noqa: N802  # the rpc's name
            self, request_iterator: Iterator[pb.StreamEventsRequest], context: grpc.ServicerContext
        ) -> Iterator[pb.StreamEventsResponse]:
            request = next(request_iterator)
            sent.append(request)
            if len(sent) == 1:
                context.abort(UNAVAILABLE, "after the write, before the acknowledgement")
            yield pb.StreamEventsResponse(batch=request.batch)

    server = grpc.server(ThreadPoolExecutor(4))
    add_EventServiceServicer_to_server(Broken(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    assert len(list(connect(f"127.0.0.1:{port}").stream_events(batches(1)))) == 1
    server.stop(None).wait()
    assert sent[0] == sent[1]
    assert sent[0].events[0].event_id
    assert sent[0].events[0].HasField("occurred_at")


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN])
def test_what_would_fail_again_is_raised(serve: Serve, code: grpc.StatusCode) -> None:
    client, server = serve((2, code))
    answers: list[int] = []
    with pytest.raises(penchant.PenchantError) as caught:
        answers.extend(answer.batch for answer in client.stream_events(batches(5)))
    assert (answers, caught.value.code) == ([1, 2], code)
    # Where a write meets the end of the stream, grpc.aio hides why it ended, and only another try tells.
    assert len(server.streams) == 1 or type(client) is not PenchantClient


def test_patience_ends(serve: Serve) -> None:
    client, server = serve(*[(0, UNAVAILABLE)] * 100)
    with pytest.raises(penchant.UnavailableError):
        list(client.stream_events(batches(2), patience_ms=300))
    assert 1 < len(server.streams) < 100


def test_no_batch_is_taken_beyond_those_that_may_be_unacknowledged(serve: Serve) -> None:
    client, _ = serve()
    taken: list[int] = []
    far = threading.Event()

    def source() -> Iterator[Sequence[Event]]:
        for number, batch in enumerate(batches(100), start=1):
            taken.append(number)
            if number == 5:
                far.set()
            yield batch

    answers = client.stream_events(source(), max_unacknowledged=3)
    assert next(answers).batch == 1
    assert far.wait(10)  # one was answered, three wait, and one more is in the hand of the thread that takes
    assert not threading.Event().wait(0.1)
    assert max(taken) <= 5
    assert [answer.batch for answer in answers] == [*range(2, 101)]


def test_an_error_of_the_source_comes_after_what_it_gave(serve: Serve) -> None:
    def source() -> Iterator[Sequence[Event]]:
        yield from batches(2)
        raise KeyError("the queue is away")

    client, _ = serve()
    answers: list[int] = []
    with pytest.raises(KeyError, match="the queue is away"):
        answers.extend(answer.batch for answer in client.stream_events(source()))
    assert answers == [1, 2]


def test_a_stream_that_ends_too_early_is_the_servers_error(serve: Serve) -> None:
    client, _ = serve((1, grpc.StatusCode.OK))
    with pytest.raises(penchant.ServerError, match="before all batches"):
        list(client.stream_events(batches(3)))


def test_a_caller_that_stops_listening_stops_the_sending(serve: Serve) -> None:
    client, _ = serve()
    gone = threading.Event()

    def source() -> Iterator[Sequence[Event]]:
        try:
            while True:
                yield batches(1)[0]
        finally:
            gone.set()

    answers: Any = client.stream_events(source())
    assert next(answers).batch == 1
    answers.close()
    assert gone.wait(10)


def test_nothing_to_send_is_nothing_to_acknowledge(serve: Serve) -> None:
    client, _ = serve()
    assert list(client.stream_events([])) == []


def test_a_window_of_none_is_refused(serve: Serve) -> None:
    client, _ = serve()
    with pytest.raises(ValueError, match="at least 1"):
        list(client.stream_events(batches(1), max_unacknowledged=0))
