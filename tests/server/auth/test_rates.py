"""A caller is held to its rate, and told when the next call is free."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from penchant.errors import ResourceExhaustedError, from_rpc_error
from penchant.rpcs import RPCS
from penchant.v1 import event_pb2 as pb

from graph.storage.settings import Settings
from server.app import start
from server.auth import rates as rates_module
from server.auth.caller import Caller
from server.auth.keys import Keys, new_secret, write_keys
from server.auth.rates import Rates
from tests.server.auth.conftest import Guarded, Issuer, add_key, bearer

INFO = "/penchant.v1.ServerService/GetServerInfo"


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def caller(name: str = "key:web", rate: float | None = None) -> Caller:
    return Caller(name, frozenset({"read"}), float("inf"), rate)


def test_a_bucket_holds_a_second_and_fills_at_the_rate() -> None:
    clock = Clock()
    rates = Rates(4, clock)
    assert [rates.take(caller()) for _ in range(5)] == [0, 0, 0, 0, 0.25]
    clock.now += 0.125
    assert rates.take(caller()) == 0.125
    clock.now += 0.125
    assert [rates.take(caller()), rates.take(caller())] == [0, 0.25]
    clock.now += 3_600
    assert [rates.take(caller()) for _ in range(5)] == [0, 0, 0, 0, 0.25]


def test_less_than_one_call_a_second_is_a_rate_too() -> None:
    clock = Clock()
    rates = Rates(0.1, clock)
    assert [rates.take(caller()), rates.take(caller())] == [0, 10]
    clock.now += 10
    assert rates.take(caller()) == 0


def test_callers_do_not_share_and_a_keys_own_rate_wins() -> None:
    rates = Rates(1, Clock())
    assert [rates.take(caller("a")), rates.take(caller("a")), rates.take(caller("b"))] == [0, 1, 0]
    assert [rates.take(caller("c", 2)) for _ in range(3)] == [0, 0, 0.5]
    assert [rates.take(caller("d", 0)) for _ in range(9)] == [0] * 9
    assert [Rates(0).take(caller()) for _ in range(9)] == [0] * 9


def test_no_more_buckets_are_kept_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates_module, "MOST_BUCKETS", 3)
    rates = Rates(1, Clock())
    for number in range(20):
        rates.take(caller("busy"))
        rates.take(caller(f"n{number}"))
        assert len(rates._buckets) <= 3
    assert rates.take(caller("busy")) > 0  # who calls all the time is not forgotten


@pytest.fixture
def limited(sqlite_url: str, tmp_path: Path) -> Iterator[Callable[[float], Guarded]]:
    """Starts a server with a rate for all callers; its keys are in the test's folder."""
    started: list[Guarded] = []

    def serve(rate: float) -> Guarded:
        settings = Settings(
            database_url=sqlite_url,
            listen="127.0.0.1:0",
            auth_keys=tmp_path / "keys.toml",
            rate_per_caller=rate,
            unknown_items="create",
        )
        started.append(Guarded(start(settings), tmp_path / "keys.toml", Path(), Issuer()))
        return started[-1]

    yield serve
    for each in started:
        each.channel.close()
        each.app.stop(0)


def test_who_calls_too_often_is_told_when_to_come_back(limited: Callable[[float], Guarded], tmp_path: Path) -> None:
    slow, fast = new_secret(), new_secret()
    add_key(tmp_path / "keys.toml", "slow", slow, "read")
    add_key(tmp_path / "keys.toml", "fast", fast, "read", rate=0)
    served = limited(0.01)
    assert served.call(INFO, bearer(slow)) is None
    refused = served.call(INFO, bearer(slow))
    assert isinstance(refused, ResourceExhaustedError)
    assert (refused.code, refused.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "RATE_LIMITED")
    assert refused.retry_after_s is not None
    assert 50 < refused.retry_after_s <= 100
    assert "key:slow" in refused.message
    for _ in range(5):
        assert served.call(INFO, bearer(fast)) is None


def batches(most: int) -> Iterator[pb.StreamEventsRequest]:
    for number in range(1, most + 1):
        event = pb.Event(event_id=f"e{number}", user="u", item="i", kind="view")
        event.occurred_at.FromSeconds(1_700_000_000)
        yield pb.StreamEventsRequest(batch=number, events=[event])


def stream(served: Guarded, secret: str, requests: Iterator[pb.StreamEventsRequest]) -> Any:
    call = served.channel.stream_stream(
        RPCS["StreamEvents"].path,
        request_serializer=pb.StreamEventsRequest.SerializeToString,
        response_deserializer=pb.StreamEventsResponse.FromString,
    )
    return call(requests, timeout=30, metadata=bearer(secret))


def test_a_stream_is_read_at_the_rate_and_not_refused(
    limited: Callable[[float], Guarded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch is a call: what is above the rate waits, and the client waits with it."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await pause(seconds)

    pause = asyncio.sleep
    monkeypatch.setattr("server.auth.guard.asyncio.sleep", sleep)
    add_key(tmp_path / "keys.toml", "web", secret := new_secret(), "write", rate=4)
    served = limited(0)
    assert [answer.batch for answer in stream(served, secret, batches(6))] == [1, 2, 3, 4, 5, 6]
    # Four are let in at once, the first of them with the call itself; the others wait for a quarter of a second each.
    assert len(slept) == 2
    assert all(0 < seconds <= 0.25 for seconds in slept)


def test_a_revoked_key_ends_its_stream(limited: Callable[[float], Guarded], tmp_path: Path) -> None:
    add_key(tmp_path / "keys.toml", "web", secret := new_secret(), "write")
    served, more = limited(0), threading.Event()

    def requests() -> Iterator[pb.StreamEventsRequest]:
        for request in batches(600):
            if request.batch > 1:
                more.wait()
                time.sleep(0.05)
            yield request

    answers = stream(served, secret, requests())
    assert next(answers).batch == 1
    write_keys(tmp_path / "keys.toml", Keys())
    more.set()
    with pytest.raises(grpc.RpcError) as ended:
        list(answers)
    error = from_rpc_error(ended.value)
    assert (error.code, error.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_CREDENTIALS")
