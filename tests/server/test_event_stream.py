"""StreamEvents: acknowledgements in order, only what was read, no more than was agreed; on both engines."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pyarrow as pa
import pytest
from penchant import Event, PenchantClient, ResourceExhaustedError
from penchant.errors import from_rpc_error
from penchant.v1 import event_pb2 as pb
from penchant.v1.event_pb2_grpc import EventServiceStub
from penchant.v1.interest_pb2 import SCORE_STATUS_NOT_IN_REVISION

from graph.storage.errors import StoppingError, StoreUnavailableError
from graph.storage.outcomes import Outcomes
from graph.storage.times import now_us
from server import limits
from server.app import start
from server.event_writer import Written
from server.servicers.event_stream import EventStream
from tests.server.in_a_loop import in_a_loop

if TYPE_CHECKING:
    from tests.server.conftest import Running, Served, World


def view(name: str, item: str = "i1", **fields: Any) -> Event:
    return Event(event_id=name, user="streamer", item=item, kind="view", **fields)


def told(answer: pb.StreamEventsResponse) -> list[tuple[int, int, str]]:
    return [(row.row, row.outcome.status, row.outcome.reason) for row in answer.others]


def test_batches_are_acknowledged_in_order_with_the_rows_that_were_not_recorded(anywhere: "Served") -> None:
    late = view("s-6")
    late.occurred_at.FromMicroseconds(now_us() + 120_000_000)
    batches = [
        [view("s-1"), view("s-2")],
        [view("s-3", item="no such item"), view("s-1", item="i2"), view("s-4"), view("s-5", item="")],
        [view("s-4", item="i3"), late],
    ]
    for event in [event for batch in batches for event in batch if not event.HasField("occurred_at")]:
        event.occurred_at.FromMicroseconds(1_700_000_000_000_000)
    answers = list(anywhere.client.stream_events(batches))
    assert [(answer.batch, answer.accepted) for answer in answers] == [(1, 2), (2, 1), (3, 0)]
    assert told(answers[1]) == [
        (0, pb.EVENT_STATUS_UNKNOWN_ITEM, "UNKNOWN_ITEM"),
        (1, pb.EVENT_STATUS_CONFLICT, "CONFLICT"),
        (3, pb.EVENT_STATUS_REJECTED, "INVALID_ID"),
    ]
    assert told(answers[2]) == [
        (0, pb.EVENT_STATUS_CONFLICT, "CONFLICT"),
        (1, pb.EVENT_STATUS_REJECTED, "INVALID_TIME"),
    ]
    again = list(anywhere.client.stream_events(batches[:1]))
    assert told(again[0]) == [(row, pb.EVENT_STATUS_DUPLICATE, "") for row in (0, 1)]
    assert anywhere.client.recommend("streamer", 3).history_events == 3


def request(number: int, *events: Event) -> pb.StreamEventsRequest:
    return pb.StreamEventsRequest(batch=number, events=events)


def test_a_wrong_number_ends_the_stream_after_the_acknowledgements_before_it(served: "Served") -> None:
    sent = [request(41, view("n-1")), request(42, view("n-2")), request(44, view("n-3"))]
    acknowledged: list[int] = []
    with grpc.insecure_channel(served.target) as channel:
        call = EventServiceStub(channel).StreamEvents(iter(sent), timeout=30)
        with pytest.raises(grpc.RpcError) as caught:
            acknowledged.extend(answer.batch for answer in call)
    assert acknowledged == [41, 42]
    error = from_rpc_error(caught.value)
    assert (error.code, error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_BATCH")


class FakeWriter:
    """Writes nothing; each batch is done when the test says so."""

    def __init__(self) -> None:
        self.submitted: list[asyncio.Future[Written]] = []

    def write(self, events: pa.Table, unreadable: int = 0) -> "asyncio.Future[Written]":
        self.submitted.append(asyncio.get_running_loop().create_future())
        return self.submitted[-1]

    async def until(self, n: int) -> None:
        """So many were submitted, and after a while no more are."""
        async with asyncio.timeout(30):
            while len(self.submitted) < n:
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        assert len(self.submitted) == n

    def written(self, *places: int) -> None:
        for place in places:
            self.submitted[place].set_result(Written(Outcomes(1), 1))


async def endless() -> AsyncIterator[pb.StreamEventsRequest]:
    for number in range(1, 2**30):
        event = view(f"endless-{number}")
        event.occurred_at.FromSeconds(1_700_000_000)
        yield request(number, event)


Acknowledgements = AsyncGenerator[pb.StreamEventsResponse, None]


@asynccontextmanager
async def full_stream() -> AsyncIterator[tuple[FakeWriter, EventStream, Acknowledgements]]:
    """As many batches as may be are on their way, and the first of them is acknowledged."""
    writer = FakeWriter()
    stream = EventStream(endless(), writer)  # type: ignore[arg-type]  # a writer that writes nothing
    async with aclosing(stream.acknowledgements()) as answers:
        first = asyncio.ensure_future(anext(answers))
        await writer.until(limits.MAX_UNACKNOWLEDGED_BATCHES)
        writer.written(0)
        assert (await first).batch == 1
        yield writer, stream, answers


@in_a_loop
async def test_no_batch_is_read_beyond_those_that_may_be_unacknowledged() -> None:
    async with full_stream() as (writer, _, answers):
        second = asyncio.ensure_future(anext(answers))
        await writer.until(limits.MAX_UNACKNOWLEDGED_BATCHES + 1)  # the first was sent, so one more is read
        writer.written(1)
        assert (await second).batch == 2


@in_a_loop
async def test_a_store_that_is_away_ends_the_stream_at_its_batch() -> None:
    async with full_stream() as (writer, _, answers):
        writer.submitted[1].set_exception(StoreUnavailableError("away"))
        with pytest.raises(StoreUnavailableError):
            await anext(answers)


@in_a_loop
async def test_stopping_acknowledges_what_was_read_before() -> None:
    async with full_stream() as (writer, stream, answers):
        stream.stop()
        writer.written(*range(1, limits.MAX_UNACKNOWLEDGED_BATCHES))
        acknowledged = [(await anext(answers)).batch for _ in range(limits.MAX_UNACKNOWLEDGED_BATCHES - 1)]
        assert acknowledged == [*range(2, limits.MAX_UNACKNOWLEDGED_BATCHES + 1)]
        with pytest.raises(StoppingError):
            await anext(answers)


def test_there_are_so_many_streams_and_a_place_comes_free(run: "Callable[[], Running]") -> None:
    running = run()
    goes_on = threading.Event()

    def open_one(number: int) -> Iterator[list[Event]]:
        yield [view(f"open-{number}")]
        assert goes_on.wait(60)

    streams = [running.client.stream_events(open_one(number)) for number in range(limits.MAX_STREAMS)]
    assert [next(stream).accepted for stream in streams] == [1] * limits.MAX_STREAMS
    with pytest.raises(ResourceExhaustedError) as caught:
        list(running.client.stream_events([[view("one too many")]], patience_ms=500))
    assert (caught.value.reason, bool(caught.value.retry_after_s)) == ("TOO_MANY_STREAMS", True)
    assert len(running.client.recommend("u1", 3).items) == 3  # other calls have threads of their own
    goes_on.set()
    assert [list(stream) for stream in streams] == [[]] * limits.MAX_STREAMS
    assert next(running.client.stream_events([[view("a place is free")]])).accepted == 1


def test_a_client_that_goes_away_gives_its_place_back(run: "Callable[[], Running]", eventually: Any) -> None:
    running = run()
    goes_on = threading.Event()

    def open_one() -> Iterator[list[Event]]:
        yield [view("gone")]
        goes_on.wait(60)

    stream: Any = running.client.stream_events(open_one())
    assert next(stream).accepted == 1
    assert len(running.app._streams._open) == 1
    stream.close()
    goes_on.set()
    eventually(lambda: not running.app._streams._open)


@pytest.mark.parametrize("policy", ["reject", "create"])
def test_the_shop_chooses_what_becomes_of_unknown_items(world: "World", policy: str, eventually: Any) -> None:
    app = start(world.settings().model_copy(update={"unknown_items": policy}))
    with PenchantClient(f"127.0.0.1:{app.port}", deadline_ms=30_000) as client:
        (streamed,) = client.stream_events([[view("stub-1", item="unheard of")]])
        recorded = client.record_events([view("stub-2", item="unheard of")]).outcomes[0]
        if policy == "reject":
            assert streamed.others[0].outcome.status == recorded.status == pb.EVENT_STATUS_UNKNOWN_ITEM
        else:
            assert (streamed.accepted, recorded.status) == (1, pb.EVENT_STATUS_ACCEPTED)
            item = client.get_item("unheard of")
            assert (item.available, item.name) == (True, "")
            # Known to the catalog, and too new for the model, within a second.
            status = SCORE_STATUS_NOT_IN_REVISION
            eventually(lambda: client.score("u1", ["unheard of"]).scores[0].status == status)
    app.stop(0)


def test_the_shop_chooses_how_far_ahead_a_clock_may_be(world: "World") -> None:
    app = start(world.settings().model_copy(update={"clock_tolerance_s": 600.0}))
    near, far = view("near"), view("far")
    near.occurred_at.FromMicroseconds(now_us() + 500_000_000)
    far.occurred_at.FromMicroseconds(now_us() + 700_000_000)
    with PenchantClient(f"127.0.0.1:{app.port}", deadline_ms=30_000) as client:
        (answer,) = client.stream_events([[near, far]])
    app.stop(0)
    assert told(answer) == [(1, pb.EVENT_STATUS_REJECTED, "INVALID_TIME")]
