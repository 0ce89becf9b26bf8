"""Runs calls, for event loops, as caller.py does for threads: what is sent, and when again, is decided in calls.py."""

import sys
from asyncio import CancelledError, current_task, sleep
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from penchant import rpcs
from penchant.attempts import Attempts
from penchant.calls import Call, Defaults, Export, Pages, Stream
from penchant.connection import Connection
from penchant.errors import CallCancelledError, CorruptDataError, PenchantError, UnavailableError, from_rpc_error
from penchant.streams import AsyncBacklog
from penchant.transport import open_async_channel
from penchant.v1 import event_pb2 as event
from penchant.vectors import EmbeddingChunk

Result = TypeVar("Result")
Row = TypeVar("Row")

_FAILED_WRITE = 'Failed "execute_batch": (<grpc._cython.cygrpc.SendMessageOperation'


class AsyncCaller:
    """Makes calls over one channel. Every method raises PenchantError."""

    def __init__(self, where: Connection, defaults: Defaults) -> None:
        self._where = where
        self._channel: grpc.aio.Channel | None = None
        self._metadata = where.metadata
        self._defaults = defaults
        self._closed = False

    async def close(self) -> None:
        """Calls in flight end with CallCancelledError."""
        self._closed = True
        if self._channel is not None:
            await self._channel.close()

    async def unary(self, call: Call[Any, Result]) -> Result:
        """What `call` reads of its answer."""
        rpc = rpcs.find(call.request)
        send: Any = self._open_channel().unary_unary(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
        attempts = call.attempts(self._defaults)
        while True:
            try:
                with self._closing():
                    answer = await send(call.request, timeout=attempts.left_s(), metadata=self._metadata)
                return call.read(answer)
            except grpc.RpcError as error:
                await self._pause(attempts, _read_error(error))

    def many(self, listing: Pages[Any, Row] | Export | Stream) -> AsyncIterator[Any]:
        """Whatever `listing` brings, asked for as it is read."""
        if isinstance(listing, Pages):
            return self._pages(listing)
        return self._export(listing) if isinstance(listing, Export) else self._stream(listing)

    async def stream_events(
        self,
        batches: Iterable[Sequence[event.Event]] | AsyncIterable[Sequence[event.Event]],
        max_unacknowledged: int,
        patience_ms: float,
    ) -> AsyncIterator[event.StreamEventsResponse]:
        """The acknowledgement of each batch, in order. Raises whatever `batches` raises, too."""
        backlog = AsyncBacklog(batches, max_unacknowledged)
        attempts: Attempts | None = None
        try:
            while True:
                call = self._open(rpcs.RPCS["StreamEvents"], await backlog.requests(), None)
                try:
                    async for answer in self._read(call):
                        await backlog.acknowledge(answer.batch)
                        attempts = None
                        yield answer
                    backlog.check_done()
                    return
                except grpc.RpcError as error:
                    attempts = attempts or Attempts(patience_ms, sys.maxsize)
                    await self._pause(attempts, _read_error(error))
                finally:
                    call.cancel()
        finally:
            await backlog.close()

    async def _pages(self, pages: Pages[Any, Row]) -> AsyncIterator[Row]:
        while True:
            page = await self.unary(pages.page())
            for row in pages.rows(page):
                yield row
            if not pages.turn(page):
                return

    async def _export(self, export: Export) -> AsyncIterator[EmbeddingChunk]:
        """All chunks once. A cut or corrupt stream goes on after the last chunk that arrived whole."""
        attempts = export.attempts(self._defaults)
        while True:
            call = self._open(rpcs.find(export.request), export.request, attempts.left_s())
            try:
                async for message in self._read(call):
                    chunk = export.take(message)
                    attempts.progressed()
                    yield chunk
                return
            except grpc.RpcError as error:
                await self._pause(attempts, _read_error(error))
            except CorruptDataError as error:
                await self._pause(attempts, error, anyway=True)
            finally:
                call.cancel()

    async def _stream(self, stream: Stream) -> AsyncIterator[Message]:
        requests = _each(stream.requests) if stream.rpc.uploads else stream.requests[0]
        call = self._open(stream.rpc, requests, stream.deadline_ms / 1_000)
        try:
            async for answer in self._read(call):
                yield answer
        except grpc.RpcError as error:
            raise _read_error(error) from error
        finally:
            call.cancel()

    def _open_channel(self) -> grpc.aio.Channel:
        """Opened at the first call, because it belongs to the event loop that then runs."""
        if self._closed:
            raise ValueError("Cannot call on a closed channel: this client was closed.")
        if self._channel is None:
            self._channel = open_async_channel(self._where)
        return self._channel

    def _open(self, rpc: rpcs.Rpc, request: Message | AsyncIterator[Message], timeout_s: float | None) -> Any:
        """A call that answers with a stream; `request` is an iterator where the rpc takes a stream."""
        channel = self._open_channel()
        kind: Any = channel.stream_stream if rpc.uploads else channel.unary_stream
        send = kind(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
        return send(request, timeout=timeout_s, metadata=self._metadata)

    async def _read(self, call: Any) -> AsyncIterator[Any]:
        answers = aiter(call)
        while True:
            with self._closing():
                answer = await anext(answers, None)
            if answer is None:
                return
            yield answer

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """CallCancelledError for whoever waits while the client is closed; the task itself goes on."""
        try:
            yield
        except CancelledError:
            task = current_task()
            if self._closed and not (task and task.cancelling()):
                raise CallCancelledError("The client was closed.", code=grpc.StatusCode.CANCELLED) from None
            raise

    async def _pause(self, attempts: Attempts, error: PenchantError, *, anyway: bool = False) -> None:
        """Until the next try; raises `error` where there is none."""
        if self._closed:
            raise error
        await sleep(attempts.pause_s(error, anyway=anyway))


def _read_error(error: grpc.RpcError) -> PenchantError:
    """As from_rpc_error. Where a write met the end of its stream, grpc.aio tells of the write and not of the end."""
    if isinstance(error, grpc.aio.AioRpcError) and _FAILED_WRITE in (error.debug_error_string() or ""):
        message = "The stream ended while it was written to, and gRPC does not say why."
        return UnavailableError(message, code=grpc.StatusCode.UNAVAILABLE)  # to be tried again, which tells
    return from_rpc_error(error)


async def _each(messages: Sequence[Message]) -> AsyncIterator[Message]:
    for each in messages:
        yield each
