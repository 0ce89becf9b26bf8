"""Runs calls, for threads: sends, waits, tries again, turns pages. async_caller.py does the same for event loops."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from time import sleep
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from penchant import rpcs
from penchant.attempts import Attempts
from penchant.calls import Call, Defaults, Export, Pages, Stream
from penchant.connection import Connection
from penchant.errors import CorruptDataError, PenchantError, from_rpc_error
from penchant.streams import Backlog
from penchant.transport import open_channel
from penchant.v1 import event_pb2 as event
from penchant.vectors import EmbeddingChunk

Result = TypeVar("Result")
Row = TypeVar("Row")


class Caller:
    """Makes calls over one channel. Every method raises PenchantError."""

    def __init__(self, where: Connection, defaults: Defaults) -> None:
        self._channel = open_channel(where)
        self._metadata = where.metadata
        self._defaults = defaults
        self._closed = False

    def close(self) -> None:
        """Calls in flight end with CallCancelledError."""
        self._closed = True
        self._channel.close()

    def unary(self, call: Call[Any, Result]) -> Result:
        """What `call` reads of its answer."""
        rpc = rpcs.find(call.request)
        send = self._channel.unary_unary(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
        attempts = call.attempts(self._defaults)
        while True:
            try:
                return call.read(send(call.request, timeout=attempts.left_s(), metadata=self._metadata))
            except grpc.RpcError as error:
                self._pause(attempts, from_rpc_error(error))

    def many(self, listing: Pages[Any, Row] | Export | Stream) -> Iterator[Any]:
        """Whatever `listing` brings, asked for as it is read."""
        if isinstance(listing, Pages):
            return self._pages(listing)
        return self._export(listing) if isinstance(listing, Export) else self._stream(listing)

    def stream_events(
        self, batches: Iterable[Sequence[event.Event]], max_unacknowledged: int, patience_ms: float
    ) -> Iterator[event.StreamEventsResponse]:
        """The acknowledgement of each batch, in order. Raises whatever `batches` raises, too."""
        backlog = Backlog(batches, max_unacknowledged)
        attempts: Attempts | None = None
        try:
            while True:
                call = self._open(rpcs.RPCS["StreamEvents"], backlog.requests(), None)
                try:
                    for answer in call:
                        backlog.acknowledge(answer.batch)
                        attempts = None
                        yield answer
                    backlog.check_done()
                    return
                except grpc.RpcError as error:
                    attempts = attempts or Attempts(patience_ms, sys.maxsize)
                    self._pause(attempts, from_rpc_error(error))
                finally:
                    call.cancel()
        finally:
            backlog.close()

    def _pages(self, pages: Pages[Any, Row]) -> Iterator[Row]:
        while True:
            page = self.unary(pages.page())
            yield from pages.rows(page)
            if not pages.turn(page):
                return

    def _export(self, export: Export) -> Iterator[EmbeddingChunk]:
        """All chunks once. A cut or corrupt stream goes on after the last chunk that arrived whole."""
        attempts = export.attempts(self._defaults)
        while True:
            call = self._open(rpcs.find(export.request), export.request, attempts.left_s())
            try:
                for message in call:
                    chunk = export.take(message)
                    attempts.progressed()
                    yield chunk
                return
            except grpc.RpcError as error:
                self._pause(attempts, from_rpc_error(error))
            except CorruptDataError as error:
                self._pause(attempts, error, anyway=True)
            finally:
                call.cancel()

    def _stream(self, stream: Stream) -> Iterator[Message]:
        requests = iter(stream.requests) if stream.rpc.uploads else stream.requests[0]
        call = self._open(stream.rpc, requests, stream.deadline_ms / 1_000)
        try:
            yield from call
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            call.cancel()

    def _open(self, rpc: rpcs.Rpc, request: Message | Iterator[Message], timeout_s: float | None) -> Any:
        """A call that answers with a stream; `request` is an iterator where the rpc takes a stream."""
        kind: Any = self._channel.stream_stream if rpc.uploads else self._channel.unary_stream
        send = kind(rpc.path, rpc.request.SerializeToString, rpc.response.FromString)
        return send(request, timeout=timeout_s, metadata=self._metadata)

    def _pause(self, attempts: Attempts, error: PenchantError, *, anyway: bool = False) -> None:
        """Until the next try; raises `error` where there is none."""
        if self._closed:
            raise error
        sleep(attempts.pause_s(error, anyway=anyway))
