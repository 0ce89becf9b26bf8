"""From the first byte of a call to its end: its line in the log, and who else watches it.

What watches a method is put together once. Without metrics and traces nobody does, and a call pays for two looks at the
clock.
"""

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import grpc
import structlog

from server.watch.call import CURRENT, Call

if TYPE_CHECKING:
    from server.watch.call import Context

DEADLINE_NEAR_S = 0.05
"""A call given up this close to its deadline was given up for it: the caller's clock is a little ahead of ours."""


class Observer(Protocol):
    """Watches the calls of one method, all from the thread of the event loop."""

    def begun(self, call: Call) -> None: ...

    def ended(self, call: Call, code: grpc.StatusCode, elapsed_s: float) -> None: ...


class Calls:
    """Makes the watch of each method. `observers` are asked for theirs once, by the method's name."""

    def __init__(
        self,
        *,
        slow_call_ms: float = 0,
        observers: Sequence[Callable[[str], Observer]] = (),
        unknown: Callable[[], None] = lambda: None,
    ) -> None:
        """`slow_call_ms`: calls that take longer are worth a warning, 0 = none."""
        self._slow_call_ms = slow_call_ms
        self._observers = observers
        self.unknown = unknown
        """To be called when somebody calls a method that there is not."""

    def unary(self, method: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        """`answer` (request, context -> awaitable answer), watched."""
        watch = self._watch(method, self._slow_call_ms)

        async def watched(request: Any, context: "Context") -> Any:
            with _Watched(watch, context):
                return await answer(request, context)

        return watched

    def stream(self, method: str, answer: Callable[..., AsyncGenerator[Any, None]]) -> Callable[..., Any]:
        """The same of one with many answers, which lasts as long as its caller likes and is never slow."""
        watch = self._watch(method, 0)

        async def watched(request: Any, context: "Context") -> AsyncIterator[Any]:
            with _Watched(watch, context):
                async with aclosing(answer(request, context)) as answers:
                    async for one in answers:
                        yield one

        return watched

    def _watch(self, method: str, slow_call_ms: float) -> "_Watch":
        return _Watch(method, [make(method) for make in self._observers], slow_call_ms)


class _Watch:
    """What is done at the beginning and the end of each call of a method."""

    def __init__(self, method: str, observers: Sequence[Observer], slow_call_ms: float) -> None:
        self._method = method
        self._observers = tuple(observers)
        self._slow_s = slow_call_ms / 1_000 or float("inf")
        self._log: Any = structlog.get_logger("penchant.server").bind()  # bound once, which else every line would pay
        self._is_debug = bool(self._log.is_enabled_for(logging.DEBUG))

    def begun(self, call: Call) -> None:
        for each in self._observers:
            each.begun(call)

    def ended(self, call: Call, error: BaseException | None) -> None:
        elapsed_s = perf_counter() - call.started_s
        if not (self._observers or self._is_debug or elapsed_s >= self._slow_s):
            return
        code = _code_of(error, call)
        for each in reversed(self._observers):
            each.ended(call, code, elapsed_s)
        if self._is_debug or elapsed_s >= self._slow_s:
            say, what = (self._log.warning, "slow call") if elapsed_s >= self._slow_s else (self._log.debug, "call")
            elapsed_ms = round(elapsed_s * 1_000, 2)
            # Named here: a stream that its caller has left may be ended by another task.
            say(what, method=self._method, request_id=call.request_id, code=code.name, elapsed_ms=elapsed_ms)


class _Watched:
    """A call while it is answered."""

    __slots__ = ("_call", "_watch")

    def __init__(self, watch: _Watch, context: "Context") -> None:
        self._watch = watch
        self._call = Call(context)

    def __enter__(self) -> None:
        CURRENT.set(self._call)  # a call is a task, so nobody else sees it, and it goes with the task
        self._watch.begun(self._call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.ended(self._call, error)


def _code_of(error: BaseException | None, call: Call) -> grpc.StatusCode:
    if error is None:
        return grpc.StatusCode.OK
    if isinstance(error, grpc.aio.AbortError):
        said: Any = call.context.code()
        return said if isinstance(said, grpc.StatusCode) else grpc.StatusCode.UNKNOWN
    remaining_s = call.context.time_remaining()
    is_late = remaining_s is not None and remaining_s < DEADLINE_NEAR_S
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_late else grpc.StatusCode.CANCELLED
