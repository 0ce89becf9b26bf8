"""Nobody is worked for who is gone, and nobody waits for ever: cancelled calls, deadlines, and the server's own."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from penchant.errors import DeadlineExceededError, from_rpc_error
from penchant.v1 import embedding_pb2, embedding_pb2_grpc, interest_pb2, interest_pb2_grpc
from penchant.v1.common_pb2 import ENTITY_KIND_USER

from graph.storage.users import User
from server import limits
from server.batcher import Batcher
from server.engine import Engine

if TYPE_CHECKING:
    from tests.server.conftest import Running

Run = Callable[[], "Running"]
ASKED = {
    "a coroutine": ("Score", interest_pb2.ScoreRequest(user="u1", items=["i1"])),
    "a method in a thread": ("GetInterests", interest_pb2.GetInterestsRequest(user="u1")),
}


class SlowStore:
    """Histories are read once they may be; `users` are those that somebody read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.users: list[str] = []
        self.may = threading.Event()
        original = Engine.past

        def past(engine: Engine, users: Any, **options: Any) -> Any:
            self.users += users
            assert self.may.wait(60)
            return original(engine, users, **options)

        monkeypatch.setattr(Engine, "past", past)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowStore]:
    store = SlowStore(monkeypatch)
    yield store
    store.may.set()


@pytest.mark.parametrize(("name", "request_"), ASKED.values(), ids=ASKED)
def test_who_sets_no_deadline_gets_the_servers(
    slow: SlowStore, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, request_: Any
) -> None:
    monkeypatch.setattr(limits, "DEFAULT_DEADLINE_MS", 200)
    running = run()
    with grpc.insecure_channel(running.target) as channel, pytest.raises(grpc.RpcError) as caught:
        getattr(interest_pb2_grpc.InterestServiceStub(channel), name)(request_)
    slow.may.set()
    error = from_rpc_error(caught.value)
    assert isinstance(error, DeadlineExceededError)
    assert error.reason == "DEADLINE_EXCEEDED"
    assert "200 ms" in error.message


@pytest.mark.parametrize(("name", "request_"), ASKED.values(), ids=ASKED)
def test_a_callers_own_deadline_may_be_longer(
    slow: SlowStore, run: Run, monkeypatch: pytest.MonkeyPatch, name: str, request_: Any
) -> None:
    monkeypatch.setattr(limits, "DEFAULT_DEADLINE_MS", 1)
    running = run()
    with grpc.insecure_channel(running.target) as channel:
        answer = getattr(interest_pb2_grpc.InterestServiceStub(channel), name).future(request_, timeout=60)
        time.sleep(0.3)
        assert not answer.done()
        slow.may.set()
        assert answer.result().history_events > 0


@pytest.mark.parametrize("how", ["cancelled", "past the deadline"])
def test_a_question_of_a_caller_who_is_gone_is_never_computed(
    slow: SlowStore, run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any, how: str
) -> None:
    gone: list[str] = []
    original = Batcher.ask

    async def ask(batcher: Any, question: Any) -> Any:
        try:
            return await original(batcher, question)
        except asyncio.CancelledError:
            gone.append(question.user)
            raise

    monkeypatch.setattr(Batcher, "ask", ask)
    running = run()
    with grpc.insecure_channel(running.target) as channel:
        stub = interest_pb2_grpc.InterestServiceStub(channel)

        def asked(user: str, timeout: float = 60) -> Any:
            return stub.Score.future(interest_pb2.ScoreRequest(user=user, items=["i1"]), timeout=timeout)

        first = asked("u1")
        eventually(lambda: slow.users == ["u1"])
        leaves, stays = asked("u2", timeout=60 if how == "cancelled" else 0.5), asked("u3")
        if how == "cancelled":
            eventually(lambda: running.app._batches.waiting == 2)
            leaves.cancel()
        eventually(lambda: gone == ["u2"])
        slow.may.set()
        assert first.result().history_events > 0
        assert stays.result().history_events > 0
    assert slow.users == ["u1", "u3"]


def test_an_export_stops_reading_when_its_caller_is_gone(
    run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    """Also where there has been nothing to send: users without a vector, more than can be read in a test."""
    reads: list[str] = []

    def endless(database: Any, *, after: str, limit: int) -> list[User]:
        reads.append(after)
        return [User(f"{len(reads):09}", None, 0)]

    monkeypatch.setattr("server.servicers.embedding.list_users", endless)
    running = run()
    with grpc.insecure_channel(running.target) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        call = stub.ExportEmbeddings(embedding_pb2.ExportEmbeddingsRequest(kind=ENTITY_KIND_USER), timeout=60)
        eventually(lambda: len(reads) > 3)
        call.cancel()

        def has_stopped() -> bool:
            before = len(reads)
            time.sleep(0.3)
            return len(reads) == before

        eventually(has_stopped)
