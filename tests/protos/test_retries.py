"""A call is sent again where that helps and is harmless, and never otherwise."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import grpc
import penchant
import pytest
from penchant import AsyncPenchantClient, Event, Item, PenchantClient
from penchant.rpcs import RPCS
from penchant.transport import OPTIONS
from penchant.v1.catalog_pb2 import UpsertItemsResponse
from penchant.v1.event_pb2 import RecordEventsResponse
from penchant.v1.interest_pb2 import RecommendResponse
from penchant.v1.model_pb2 import RollbackModelResponse

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer, Running

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
CANCELLED = grpc.StatusCode.CANCELLED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


def test_unavailable_is_tried_again_with_growing_pauses(
    client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    fake.refuses("Recommend", UNAVAILABLE, times=3)
    fake.answers("Recommend", RecommendResponse(model_version="m7.12"))
    assert client.recommend("u1").model_version == "m7.12"
    assert len(pauses) == 3
    assert 0.05 <= pauses[0] <= 0.1
    assert 0.2 <= pauses[2] <= 0.4


def test_the_pauses_outlast_the_time_between_two_attempts_to_connect(
    client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    """Else a call fails though its server is there again; gRPC takes up to a fifth more than it is told."""
    fake.refuses("Recommend", UNAVAILABLE, times=6)
    with pytest.raises(penchant.UnavailableError):
        client.recommend("u1")
    assert sum(pauses) * 1_000 > 1.2 * int(dict(OPTIONS)["grpc.max_reconnect_backoff_ms"])


def test_it_ends_with_the_error_after_the_last_retry(
    client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    fake.refuses("Recommend", UNAVAILABLE, times=7)
    with pytest.raises(penchant.UnavailableError):
        client.recommend("u1")
    assert len(fake.asked["Recommend"]) == 6


def test_what_a_stopping_server_cancels_is_tried_again(
    client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    """gRPC's servers do so with calls that no handler had begun, whatever grace they were given."""
    fake.refuses("Recommend", CANCELLED)
    fake.answers("Recommend", RecommendResponse(model_version="m7.12"))
    assert client.recommend("u1").model_version == "m7.12"
    assert len(pauses) == 1


def test_what_this_side_gives_up_is_not_tried_again(running: "Running", fake: "FakeServer") -> None:
    fake.answers("Recommend", 0.5, RecommendResponse())
    client = PenchantClient(running.target)
    caught: list[BaseException] = []

    def call() -> None:
        try:
            client.recommend("u1")
        except BaseException as error:
            caught.append(error)

    caller = threading.Thread(target=call)
    caller.start()
    while not fake.asked["Recommend"]:
        time.sleep(0.01)
    client.close()
    caller.join(30)
    assert [type(error) for error in caught] == [penchant.CallCancelledError]
    assert len(fake.asked["Recommend"]) == 1


def test_what_waits_in_a_loop_while_the_client_is_closed_is_told_so(running: "Running", fake: "FakeServer") -> None:
    fake.answers("Recommend", 0.5, RecommendResponse())

    async def close_meanwhile() -> object:
        client = AsyncPenchantClient(running.target)
        call = asyncio.create_task(client.recommend("u1"))
        while not fake.asked["Recommend"]:
            await asyncio.sleep(0.01)
        await client.close()
        return (await asyncio.gather(call, return_exceptions=True))[0]

    assert isinstance(asyncio.run(close_meanwhile()), penchant.CallCancelledError)
    assert len(fake.asked["Recommend"]) == 1


def test_a_task_that_is_cancelled_is_cancelled(running: "Running", fake: "FakeServer") -> None:
    fake.answers("Recommend", 0.5, RecommendResponse())

    async def cancel_meanwhile() -> bool:
        async with AsyncPenchantClient(running.target) as client:
            call = asyncio.create_task(client.recommend("u1"))
            while not fake.asked["Recommend"]:
                await asyncio.sleep(0.01)
            call.cancel()
            await asyncio.wait([call])
            return call.cancelled()

    assert asyncio.run(cancel_meanwhile())
    assert len(fake.asked["Recommend"]) == 1


@pytest.mark.parametrize("code", [UNAVAILABLE, EXHAUSTED])
def test_the_pause_is_what_retry_info_asks_for(
    code: grpc.StatusCode, client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    fake.refuses("Recommend", code, retry_after_s=1.5)
    fake.answers("Recommend", RecommendResponse())
    client.recommend("u1")
    assert len(pauses) == 1
    assert 1.5 <= pauses[0] <= 1.65


def test_a_pause_beyond_the_deadline_is_not_waited_for(
    client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    fake.refuses("Recommend", UNAVAILABLE, retry_after_s=30)
    with pytest.raises(penchant.UnavailableError) as caught:
        client.recommend("u1", deadline_ms=5_000)
    assert caught.value.retry_after_s == 30
    assert pauses == []


@pytest.mark.parametrize(
    "code",
    [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, UNAVAILABLE, CANCELLED)],
    ids=lambda c: c.name,
)
def test_nothing_else_is_tried_again(
    code: grpc.StatusCode, client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    # RESOURCE_EXHAUSTED without RetryInfo is a message too large, which will not shrink; no other code may have it.
    fake.refuses("Recommend", code, retry_after_s=None if code is EXHAUSTED else 0.1)
    with pytest.raises(penchant.PenchantError):
        client.recommend("u1")
    assert pauses == []


def test_a_server_that_does_not_answer_in_time_is_not_asked_again(client: PenchantClient, fake: "FakeServer") -> None:
    fake.answers("Recommend", 0.5, RecommendResponse())
    with pytest.raises(penchant.DeadlineExceededError):
        client.recommend("u1", deadline_ms=100)
    assert len(fake.asked["Recommend"]) <= 1  # none where a busy machine took as long to connect


def test_all_tries_share_one_deadline(client: PenchantClient, fake: "FakeServer") -> None:
    fake.answers("Recommend", 0.5, fake.refusal(UNAVAILABLE))
    fake.answers("Recommend", RecommendResponse())
    client.recommend("u1", deadline_ms=3_000)
    first, second = fake.deadlines_s
    assert second <= first - 0.5


def test_a_deadline_of_zero_is_refused(client: PenchantClient) -> None:
    with pytest.raises(ValueError, match="deadline_ms must be above 0"):
        client.recommend("u1", deadline_ms=0)


def test_a_server_that_is_not_there_is_unavailable(pauses: list[float]) -> None:
    with PenchantClient("127.0.0.1:1", retries=1) as client, pytest.raises(penchant.UnavailableError):
        client.get_server_info()
    assert len(pauses) == 1


WRITES: list[tuple[str, Callable[[PenchantClient], object], object]] = [
    ("RecordEvents", lambda c: c.record_events([Event(user="u", item="i", kind="view")]), RecordEventsResponse()),
    ("UpsertItems", lambda c: c.upsert_items([Item(id="i")]), UpsertItemsResponse()),
    ("RollbackModel", lambda c: c.rollback_model(from_version="m7.12"), RollbackModelResponse()),
]


@pytest.mark.parametrize(("rpc", "write", "answer"), WRITES, ids=[row[0] for row in WRITES])
def test_writes_that_are_harmless_to_repeat_are_sent_again_unchanged(
    rpc: str,
    write: Callable[[PenchantClient], object],
    answer: RecordEventsResponse,
    client: PenchantClient,
    fake: "FakeServer",
    pauses: list[float],
) -> None:
    fake.refuses(rpc, UNAVAILABLE)
    fake.answers(rpc, answer)
    write(client)
    first, second = fake.asked[rpc]
    assert first == second


def test_a_rollback_that_does_not_say_from_where_is_not_sent_again(
    client: PenchantClient, fake: "FakeServer", pauses: list[float]
) -> None:
    fake.refuses("RollbackModel", UNAVAILABLE)
    with pytest.raises(penchant.UnavailableError):
        client.rollback_model(reason="worse")
    assert pauses == []


def test_the_contract_calls_everything_but_a_rollback_repeatable() -> None:
    assert [rpc.name for rpc in RPCS.values() if not rpc.repeatable] == ["RollbackModel"]
