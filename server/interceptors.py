"""What happens around every call: undecodable bytes, errors of ours, bugs, a log line.

Generated handlers answer undecodable bytes with INTERNAL before any servicer runs, so the deserialiser of every
method is wrapped here. Errors raised while a stream is being read escape a plain `try` around the call, so
iterating is wrapped as well.
"""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
import structlog
from google.protobuf.message import DecodeError
from google.rpc import code_pb2
from grpc_status import rpc_status

from graph.storage.errors import BadInputError, PenchantError
from server.status import build_status, status_of

OURS = "/penchant."

log = structlog.get_logger("penchant.server")

if TYPE_CHECKING:  # generic in its types alone
    Handler = grpc.RpcMethodHandler[Any, Any]


class _Undecodable:
    """Stands in for a request whose bytes are no message of its type."""


class Border(grpc.ServerInterceptor):
    """Wraps every method's handler; knows nothing of what the methods do."""

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Handler | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "Handler | None":
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        if not method.startswith(OURS):
            # Reflection and health mind their own errors, and a health watcher that was wrapped would hold a thread.
            return handler
        decode = _decoder(handler.request_deserializer)
        if handler.unary_stream is not None:
            stream = _guard_stream(method, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(stream, decode, handler.response_serializer)
        if handler.stream_stream is not None:
            duplex = _guard_duplex(method, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(duplex, decode, handler.response_serializer)
        assert handler.unary_unary is not None
        unary = _guard_unary(method, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(unary, decode, handler.response_serializer)


def _decoder(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        try:
            return deserialize(data) if deserialize else data
        except DecodeError:
            return _Undecodable()

    return decode


def _guard_unary(method: str, call: Callable[[Any, grpc.ServicerContext], Any]) -> Callable[..., Any]:
    def guarded(request: Any, context: grpc.ServicerContext) -> Any:
        with _Call(method, context) as current:
            current.check(request)
            return call(request, context)

    return guarded


def _guard_stream(method: str, call: Callable[[Any, grpc.ServicerContext], Iterator[Any]]) -> Callable[..., Any]:
    def guarded(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with _Call(method, context) as current:
            current.check(request)
            yield from call(request, context)

    return guarded


def _guard_duplex(
    method: str, call: Callable[[Iterator[Any], grpc.ServicerContext], Iterator[Any]]
) -> Callable[..., Any]:
    def guarded(requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        with _Call(method, context) as current:
            yield from call(map(current.check, requests), context)

    return guarded


class _Call:
    """One call from its first byte to its status; leaving it with an error ends the call with the right status."""

    def __init__(self, method: str, context: grpc.ServicerContext) -> None:
        self.method = method
        self.context = context
        self.request_id = uuid.uuid4().hex[:12]
        self.started = time.perf_counter()

    def __enter__(self) -> "_Call":
        return self

    def check(self, request: Any) -> Any:
        """`request` itself. Raises BadInputError for bytes that were none."""
        if isinstance(request, _Undecodable):
            raise BadInputError(
                f"The request bytes are no message that {self.method} takes.",
                hint="Use stubs generated from penchant/v1/*.proto.",
                reason="UNDECODABLE_REQUEST",
            )
        return request

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        elapsed_ms = round((time.perf_counter() - self.started) * 1_000, 2)
        if error is None or isinstance(error, GeneratorExit):
            log.debug("call", method=self.method, request_id=self.request_id, elapsed_ms=elapsed_ms)
        elif isinstance(error, PenchantError):
            log.info("refused", method=self.method, request_id=self.request_id, reason=error.reason, message=str(error))
            self._abort(status_of(error))
        elif isinstance(error, Exception):
            log.error("bug", method=self.method, request_id=self.request_id, exc_info=error)
            message = f"A bug in penchant; the log has it under request {self.request_id}."
            self._abort(build_status(code_pb2.INTERNAL, message, []))

    def _abort(self, status: Any) -> NoReturn:
        self.context.abort_with_status(rpc_status.to_status(status))
        raise AssertionError("abort raises")
