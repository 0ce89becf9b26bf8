"""Ids, log lines and codes of calls, over real gRPC and without any model."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
import structlog

from graph.storage.errors import NotFoundError
from server.border import Rpcs
from server.logs import set_up_logging
from server.watch.call import Call, current_request_id
from server.watch.calls import Calls
from server.watch.threads import ContextThreads
from tests.server.in_a_loop import in_a_loop

SERVICE, NAME = "penchant.v1.ServerService", "GetServerInfo"
"""Stand-ins answer for it: only methods that there are have a scope."""


class Seen:
    """Observer that remembers."""

    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []
        self.ended_one = asyncio.Event()

    def begun(self, call: Call) -> None:
        """Nothing."""

    def ended(self, call: Call, code: grpc.StatusCode, elapsed_s: float) -> None:
        self.codes.append(code)
        self.ended_one.set()


@asynccontextmanager
async def serving(answer: Any, calls: Calls, *, streams: bool = False) -> AsyncIterator[Callable[..., Any]]:
    """A server of one method; what calls it."""
    with ContextThreads(2) as threads:
        rpcs: Any = Rpcs(threads, calls)
        handler = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        made = grpc.method_handlers_generic_handler(SERVICE, {NAME: handler(answer)})
        rpcs.add_generic_rpc_handlers((made,))
        server = grpc.aio.server(handlers=[rpcs])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                method = f"/{SERVICE}/{NAME}"
                ask: Any = channel.unary_stream(method) if streams else channel.unary_unary(method)
                yield ask
        finally:
            await server.stop(0)


async def code_and_id_of(call: Awaitable[bytes]) -> tuple[grpc.StatusCode, str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    trailers: Any = caught.value.trailing_metadata()
    return caught.value.code(), dict(trailers)["x-request-id"], caught.value.details() or ""


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.fixture(autouse=True)
def _told() -> Any:
    set_up_logging("DEBUG")
    yield
    set_up_logging("WARNING")


def refuse(request: bytes, context: object) -> bytes:
    """No coroutine: it runs in a thread."""
    structlog.get_logger("penchant.server").info("looked")
    raise NotFoundError("There is no such thing.", hint="Look elsewhere.")


def broken(request: bytes, context: object) -> bytes:
    raise ZeroDivisionError("a bug")


def looped(test: Callable[[pytest.CaptureFixture[str]], Any]) -> Callable[[pytest.CaptureFixture[str]], None]:
    """`in_a_loop` for a test that reads what was logged."""

    def run(capsys: pytest.CaptureFixture[str]) -> None:
        in_a_loop(lambda: test(capsys))()

    return run


@looped
async def test_the_callers_id_is_in_every_line_and_in_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(refuse, Calls()) as ask:
        code, request_id, _ = await code_and_id_of(ask(b"", metadata=(("x-request-id", "shop-17/a"),)))
    assert (code, request_id) == (grpc.StatusCode.NOT_FOUND, "shop-17/a")
    lines = lines_of(capsys)
    assert [line["event"] for line in lines] == ["looked", "refused", "call"]
    assert {line["request_id"] for line in lines} == {"shop-17/a"}
    assert lines[-1]["code"] == "NOT_FOUND"


@looped
async def test_ids_that_cannot_stand_in_a_log_are_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    made = []
    async with serving(refuse, Calls()) as ask:
        for given in ("", "x" * 129, 'a"b', "two words", "a,b"):
            metadata = (("x-request-id", given),) if given else ()
            made.append((await code_and_id_of(ask(b"", metadata=metadata)))[1])
    assert len(set(made)) == 5
    assert all(len(each) == 16 and int(each, 16) >= 0 for each in made)


@looped
async def test_a_bug_is_found_in_the_log_by_the_id_that_its_caller_got(capsys: pytest.CaptureFixture[str]) -> None:
    async with serving(broken, Calls()) as ask:
        code, request_id, message = await code_and_id_of(ask(b""))
    assert code is grpc.StatusCode.INTERNAL
    assert request_id in message
    bug = next(line for line in lines_of(capsys) if line["event"] == "bug")
    assert bug["request_id"] == request_id
    assert "ZeroDivisionError" in bug["exception"]


@looped
async def test_calls_at_once_do_not_mix_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(request: bytes, context: object) -> bytes:
        await asyncio.sleep(0)
        in_a_thread = await asyncio.get_running_loop().run_in_executor(threads, current_request_id)
        return f"{current_request_id()} {in_a_thread}".encode()

    with ContextThreads(2) as threads:
        async with serving(answer, Calls()) as ask:
            names = [f"call-{number}" for number in range(20)]
            answers = await asyncio.gather(*(ask(b"", metadata=(("x-request-id", name),)) for name in names))
    assert [each.decode() for each in answers] == [f"{name} {name}" for name in names]


@looped
async def test_each_end_of_a_call_has_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    seen = Seen()

    async def answer(request: bytes, context: object) -> bytes:
        await asyncio.sleep(0 if request == b"now" else 60)
        return b""

    async with serving(answer, Calls(observers=[lambda method: seen])) as ask:
        await ask(b"now")
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(b"late", timeout=0.3)
        await wait_for(seen, 2)
        given_up = asyncio.ensure_future(ask(b"never", timeout=60))
        await asyncio.sleep(0.2)
        given_up.cancel()
        await wait_for(seen, 3)
    codes = grpc.StatusCode
    assert seen.codes == [codes.OK, codes.DEADLINE_EXCEEDED, codes.CANCELLED]


async def wait_for(seen: Seen, ends: int) -> None:
    while len(seen.codes) < ends:
        seen.ended_one.clear()
        await asyncio.wait_for(seen.ended_one.wait(), 30)


@looped
async def test_a_slow_call_is_a_warning_and_a_long_stream_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    async def answer(request: bytes, context: object) -> bytes:
        await asyncio.sleep(0.02)
        return b""

    def answers(request: bytes, context: object) -> Any:
        yield b"1"
        yield b"2"

    calls = Calls(slow_call_ms=10)
    async with serving(answer, calls) as ask:
        await ask(b"", metadata=(("x-request-id", "slow-one"),))
    async with serving(answers, Calls(slow_call_ms=1e-9), streams=True) as stream:
        assert [each async for each in stream(b"")] == [b"1", b"2"]
    warned = [line for line in lines_of(capsys) if line["level"] == "warning"]
    assert [(line["event"], line["request_id"], line["code"]) for line in warned] == [("slow call", "slow-one", "OK")]
    assert warned[0]["elapsed_ms"] >= 20
