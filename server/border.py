"""What happens around every call: who may, undecodable bytes, errors, bugs; whoever watches sees it from outside.

Generated handlers answer undecodable bytes with INTERNAL before any servicer runs, so the deserialiser of every method
is wrapped here. What is no coroutine runs in a thread, so that it may wait for the store without holding up the loop.
"""

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NoReturn, cast

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from grpc_status import rpc_status

from graph.storage.errors import BadInputError, BusyError, PenchantError, UnauthenticatedError
from server import limits
from server.auth.audit import audited
from server.auth.guard import Guard
from server.auth.scopes import SCOPES, require_scopes
from server.our_time import OurTime
from server.status import build_status, status_of
from server.watch.call import REQUEST_ID, current_request_id
from server.watch.calls import Calls

OURS = "/penchant."

log = structlog.get_logger("penchant.server")

if TYPE_CHECKING:  # generic in its types alone
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class Rpcs(grpc.GenericRpcHandler):
    """The methods of all servicers that were added to it, each behind the border.

    It stands where generated code expects a server: `add_InterestServiceServicer_to_server(servicer, rpcs)`. Given to a
    server as one table, a call is found by one look. With a `guard` it is also where calls are let in: before their
    requests are read.
    """

    def __init__(self, threads: Executor, calls: Calls, guard: Guard | None = None) -> None:
        self._threads = threads
        self._calls = calls
        self._guard = guard
        self._ours = OurTime(limits.DEFAULT_DEADLINE_MS)
        self._refusals: dict[str, Callable[..., Any]] = {}
        self._added: list[grpc.GenericRpcHandler] = []
        self._guarded: dict[str, Handler] = {}

    def add_generic_rpc_handlers(self, handlers: "tuple[grpc.GenericRpcHandler, ...]") -> None:
        self._added.extend(handlers)

    def add_registered_method_handlers(self, service: str, handlers: "Mapping[str, Handler]") -> None:
        """Looks at their scopes, no more: they are those of `add_generic_rpc_handlers` once more, and a server of
        registered methods waits for each of them anew whenever a call comes."""
        require_scopes(service, handlers)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        found = self._guarded.get(handler_call_details.method) or self._look_up(handler_call_details)
        return found if self._guard is None or found is None else self._admitted(found, handler_call_details)

    def _look_up(self, details: grpc.HandlerCallDetails) -> "Handler | None":
        for one in self._added:
            if (handler := one.service(details)) is not None:
                found = guarded(details.method, handler, self._threads, self._calls, self._ours, self._guard)
                return self._guarded.setdefault(details.method, found)
        self._calls.unknown()
        return None

    def _admitted(self, handler: "Handler", details: grpc.HandlerCallDetails) -> "Handler":
        """The handler, or one that refuses: a stream both ways, which reads no request, whatever the caller sends."""
        assert self._guard is not None
        method = details.method
        try:
            self._guard.admit(method, details.invocation_metadata or ())
        except Exception as error:
            refusal = self._refusals.get(method) or self._refusals.setdefault(
                method, _refusal(method, self._calls, self._guard)
            )
            return grpc.stream_stream_rpc_method_handler(_of(refusal, error))
        return handler


def guarded(
    method: str, handler: "Handler", threads: Executor, calls: Calls, ours: OurTime, guard: Guard | None
) -> "Handler":
    """The handler within its border; that of health and reflection as it is, for they mind their own errors."""
    if not method.startswith(OURS):
        return handler
    decode = _decoder(handler.request_deserializer)
    if handler.unary_stream is not None:
        stream = calls.stream(method, _guard_stream(method, handler.unary_stream, threads, guard))
        return grpc.unary_stream_rpc_method_handler(stream, decode, handler.response_serializer)
    if handler.stream_stream is not None:
        duplex = calls.stream(method, _guard_duplex(method, cast("Any", handler.stream_stream), guard))
        return grpc.stream_stream_rpc_method_handler(duplex, decode, handler.response_serializer)
    assert handler.unary_unary is not None
    unary = _guard_unary(method, handler.unary_unary, threads, ours)
    if SCOPES[method] == "admin":
        unary = audited(method, unary, guard)
    unary = calls.unary(method, unary)
    return grpc.unary_unary_rpc_method_handler(unary, decode, handler.response_serializer)


class _Undecodable:
    """Stands in for a request whose bytes are no message of its type."""


def _decoder(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        try:
            return deserialize(data) if deserialize else data
        except DecodeError:
            return _Undecodable()

    return decode


def _guard_unary(method: str, call: Callable[..., Any], threads: Executor, ours: OurTime) -> Callable[..., Any]:
    waits = inspect.iscoroutinefunction(call)

    async def guard(request: Any, context: "Context") -> Any:
        try:
            _check(request, method)
            if waits:
                work = call(request, context)
            else:
                work = asyncio.get_running_loop().run_in_executor(threads, call, request, context)
            answer = await (work if context.time_remaining() is not None else ours.give(work))
        except Exception as error:
            await _end(error, method, context)
        return answer

    return guard


def _guard_stream(
    method: str, call: Callable[..., Iterator[Any]], threads: Executor, door: Guard | None
) -> Callable[..., Any]:
    """The method may yield None where it has worked for a while and has nothing to say: a call that was given up ends
    there."""

    async def guard(request: Any, context: "Context") -> AsyncIterator[Any]:
        try:
            _check(request, method)
            loop, answers, end = asyncio.get_running_loop(), call(request, context), object()
            following = loop.run_in_executor(threads, next, answers, end)
            while (answer := await following) is not end:
                following = loop.run_in_executor(threads, next, answers, end)  # made while this one is sent
                try:
                    if door is not None:
                        door.check(method, context.invocation_metadata() or ())
                    if answer is not None:
                        yield answer
                except BaseException:
                    following.cancel()  # whoever is gone hears no error of it
                    raise
        except Exception as error:
            await _end(error, method, context)

    return guard


def _guard_duplex(
    method: str, call: Callable[..., AsyncGenerator[Any, None]], door: Guard | None
) -> Callable[..., Any]:
    async def guard(requests: AsyncIterator[Any], context: "Context") -> AsyncIterator[Any]:
        async def checked() -> AsyncIterator[Any]:
            is_first = True  # which was let in with the call
            async for request in requests:
                if door is not None and not is_first:
                    await door.admit_next(method, context.invocation_metadata() or ())
                is_first = False
                yield _check(request, method)

        try:
            async with aclosing(call(checked(), context)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:
            await _end(error, method, context)

    return guard


def _refusal(method: str, calls: Calls, guard: Guard) -> Callable[..., Any]:
    """Ends a call with the error that it gets in place of a request."""

    async def refuse(error: Exception, context: "Context") -> None:
        await _end(error, method, context)

    return calls.unary(method, audited(method, refuse, guard) if SCOPES.get(method) == "admin" else refuse)


def _of(refusal: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    async def refuse(requests: AsyncIterator[Any], context: "Context") -> None:
        await refusal(error, context)

    return refuse


def _check(request: Any, method: str) -> Any:
    """`request` itself. Raises BadInputError for bytes that were none."""
    if isinstance(request, _Undecodable):
        raise BadInputError(
            f"The request bytes are no message that {method} takes.",
            hint="Use stubs generated from penchant/v1/*.proto.",
            reason="UNDECODABLE_REQUEST",
        )
    return request


async def _end(error: Exception, method: str, context: "Context") -> NoReturn:
    """Ends the call with the status that says what was wrong."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    request_id = current_request_id()
    if isinstance(error, PenchantError):
        # Who is sent away, by the thousand perhaps, is not worth the time of a line each; metrics count them.
        say = log.debug if isinstance(error, BusyError | UnauthenticatedError) else log.info
        say("refused", method=method, reason=error.reason, message=str(error))
        status = status_of(error)
    else:
        log.error("bug", method=method, exc_info=error)
        status = build_status(code_pb2.INTERNAL, f"A bug in penchant; the log has it under request {request_id}.", [])
    said = rpc_status.to_status(status)
    await context.abort(said.code, said.details, (*said.trailing_metadata, (REQUEST_ID, request_id)))
    raise AssertionError("abort raises")
