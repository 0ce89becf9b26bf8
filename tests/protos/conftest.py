"""A real gRPC server that answers by script, for tests of the client."""

import asyncio
import inspect
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status
from penchant import AsyncPenchantClient, PenchantClient, vectors
from penchant.rpcs import RPCS
from penchant.v1.embedding_pb2 import ExportEmbeddingsResponse


@dataclass(frozen=True)
class Refusal:
    """How a scripted call ends."""

    code: grpc.StatusCode
    message: str = "refused by script"
    reason: str = ""
    retry_after_s: float | None = None
    violations: Sequence[tuple[str, str]] = ()

    def abort(self, context: grpc.ServicerContext) -> None:
        details: list[Message] = []
        if self.reason:
            details.append(error_details_pb2.ErrorInfo(reason=self.reason, domain="penchant"))
        if self.violations:
            fields = [
                error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
                for field, text in self.violations
            ]
            details.append(error_details_pb2.BadRequest(field_violations=fields))
        if self.retry_after_s is not None:
            delay = Duration()
            delay.FromNanoseconds(int(self.retry_after_s * 1e9))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in details:
            status.details.add().Pack(detail)
        context.abort_with_status(rpc_status.to_status(status))


Step = Message | Refusal | float


class FakeServer(grpc.GenericRpcHandler):
    """Answers each call of an rpc with the next thing scripted for it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: dict[str, list[Any]] = defaultdict(list)
        """The requests, by rpc, in order."""
        self.deadlines_s: list[float] = []
        """The time that each call was given."""
        self._script: dict[str, deque[Sequence[Step]]] = defaultdict(deque)

    def answers(self, rpc: str, *steps: Step) -> None:
        """One call: messages are sent, a number is waited for, in seconds, at a refusal it ends."""
        self._script[rpc].append(steps)

    def refuses(self, rpc: str, code: grpc.StatusCode, times: int = 1, **how: Any) -> None:
        """`times` calls that end with `code`; `how` are the fields of Refusal."""
        for _ in range(times):
            self.answers(rpc, Refusal(code, **how))

    @staticmethod
    def refusal(code: grpc.StatusCode, **how: Any) -> Refusal:
        return Refusal(code, **how)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        rpc = RPCS[handler_call_details.method.rsplit("/", 1)[1]]

        def stream(request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
            self.asked[rpc.name].append(request)
            self.deadlines_s.append(context.time_remaining())
            for step in self._script[rpc.name].popleft():
                if isinstance(step, Message):
                    yield step
                elif isinstance(step, Refusal):
                    step.abort(context)
                else:
                    time.sleep(step)

        def unary(request: Any, context: grpc.ServicerContext) -> Message:
            return next(stream(request, context))

        read, write = rpc.request.FromString, rpc.response.SerializeToString
        if rpc.uploads:  # the requests come as one iterator, which the script may leave unread
            return grpc.stream_stream_rpc_method_handler(stream, read, write)
        if rpc.streams:
            return grpc.unary_stream_rpc_method_handler(stream, read, write)
        return grpc.unary_unary_rpc_method_handler(unary, read, write)


@dataclass(frozen=True)
class Running:
    """A fake server that listens."""

    fake: FakeServer
    target: str


@pytest.fixture
def running() -> Iterator[Running]:
    server = grpc.server(ThreadPoolExecutor(4))
    fake = FakeServer()
    server.add_generic_rpc_handlers((fake,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield Running(fake, f"127.0.0.1:{port}")
    server.stop(None).wait()


@pytest.fixture
def fake(running: Running) -> FakeServer:
    """The server that `client` asks."""
    return running.fake


class Blocking:
    """An AsyncPenchantClient whose methods behave as those of PenchantClient, so that one test asks both."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        self._loop = asyncio.Runner()
        self._client = AsyncPenchantClient(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def blocking(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            return self._loop.run(result) if inspect.iscoroutine(result) else self._each(result)

        return blocking

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run(self._client.close())
        self._loop.close()

    def _each(self, results: AsyncIterator[Any]) -> Iterator[Any]:
        end = object()

        async def following() -> Any:
            return await anext(results, end)

        try:
            while (result := self._loop.run(following())) is not end:
                yield result
        finally:
            self._loop.run(results.aclose())  # type: ignore[attr-defined]  # they are generators


Connect = Callable[..., PenchantClient]


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients, once those for threads and once those for event loops; closes them."""
    kind: Any = PenchantClient if request.param == "sync" else Blocking
    with ExitStack() as opened:
        yield lambda *arguments, **named: opened.enter_context(kind(*arguments, **named))


@pytest.fixture
def client(running: Running, connect: Connect) -> PenchantClient:
    return connect(running.target)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that the client paused between tries; it does not really wait."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("penchant.caller.sleep", slept.append)
    monkeypatch.setattr("penchant.async_caller.sleep", sleep)
    return slept


@pytest.fixture
def chunk() -> Callable[..., ExportEmbeddingsResponse]:
    """Makes a chunk of an export; a user `u<n>` has the vectors [n, 0] and [n, 1]."""

    def make(*numbers: int, version: str = "m7.12", total: int = 4) -> ExportEmbeddingsResponse:
        ids = [f"u{number}" for number in numbers]
        weights = [0.75, 0.25] * len(ids)
        matrix = np.array([[number, half] for number in numbers for half in (0, 1)], np.float32).reshape(-1, 2)
        message = ExportEmbeddingsResponse(
            ids=ids,
            vector_counts=[2] * len(ids),
            vectors=vectors.encode(matrix),
            weights=weights,
            resume_token=f"after {ids[-1]}" if ids else "at the end",
            total_ids=total,
            vector_space="space-1",
            model_version=version,
        )
        message.checksum = vectors.checksum(ids, weights, message.vectors.data)
        message.as_of.FromSeconds(1_700_000_000)
        return message

    return make
