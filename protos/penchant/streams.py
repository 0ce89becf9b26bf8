"""Batches of events over a stream that may break: what was not acknowledged is sent again over the next one."""

import sys
import threading
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from penchant.errors import ServerError, from_rpc_error
from penchant.transport import Attempts
from penchant.v1 import event_pb2 as pb

MAX_UNACKNOWLEDGED = 16
"""Batches; what a server takes at most, which GetServerInfo says."""
PATIENCE_MS = 60_000.0


def complete_events(events: Iterable[pb.Event]) -> None:
    """Gives events without an id a random one, and those without a time the present."""
    now = Timestamp()
    now.GetCurrentTime()
    for each in events:
        each.event_id = each.event_id or uuid.uuid4().hex
        if not each.HasField("occurred_at"):
            each.occurred_at.CopyFrom(now)


def stream_events(
    rpc: "grpc.StreamStreamMultiCallable[pb.StreamEventsRequest, pb.StreamEventsResponse]",
    batches: Iterable[Sequence[pb.Event]],
    max_unacknowledged: int,
    patience_ms: float,
) -> Iterator[pb.StreamEventsResponse]:
    """The acknowledgement of each batch, in order. Raises PenchantError, and whatever `batches` raises."""
    backlog = _Backlog(batches, max_unacknowledged)
    attempts: Attempts | None = None
    try:
        while True:
            call = rpc(backlog.requests())
            try:
                for answer in call:
                    backlog.acknowledge(answer.batch)
                    attempts = None
                    yield answer
                backlog.check_done()
                return
            except grpc.RpcError as error:
                attempts = attempts or Attempts(patience_ms, sys.maxsize)
                attempts.pause_or_raise(from_rpc_error(error))
            finally:
                call.cancel()
    finally:
        backlog.close()


class _Backlog:
    """The batches that were taken from the caller and not yet acknowledged, at most `size` of them.

    A thread of its own takes them: the one that sends ends with its stream, perhaps while it waits for a batch.
    """

    def __init__(self, batches: Iterable[Sequence[pb.Event]], size: int) -> None:
        if size < 1:
            raise ValueError(f"max_unacknowledged must be at least 1, not {size}")
        self._batches = batches
        self._size = size
        self._changed = threading.Condition()
        self._waiting: deque[pb.StreamEventsRequest] = deque()
        self._stream = 0
        """Number of the stream that is sending; older ones have ended."""
        self._exhausted = False
        self._failure: BaseException | None = None
        threading.Thread(target=self._fill, name="take-batches", daemon=True).start()

    def requests(self) -> Iterator[pb.StreamEventsRequest]:
        """For one stream: all that waits from the first, then what comes; ends with `batches` or with the stream."""
        with self._changed:
            self._stream += 1
            stream = self._stream
            self._changed.notify_all()
        return self._send(stream)

    def acknowledge(self, batch: int) -> None:
        with self._changed:
            if not self._waiting or self._waiting[0].batch != batch:
                raise ServerError(f"The server acknowledged batch {batch}, which is not the one whose turn it was.")
            self._waiting.popleft()
            self._changed.notify_all()

    def check_done(self) -> None:
        """Raises what `batches` raised; ServerError where batches are left."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._waiting or not self._exhausted:
                raise ServerError("The server ended the stream before all batches were acknowledged.")

    def close(self) -> None:
        """Ends the threads, that of `batches` once it gives another."""
        with self._changed:
            self._stream = -1
            self._changed.notify_all()

    def _fill(self) -> None:
        try:
            for number, events in enumerate(self._batches, start=1):
                request = pb.StreamEventsRequest(batch=number, events=events)
                complete_events(request.events)
                with self._changed:
                    self._changed.wait_for(lambda: len(self._waiting) < self._size or self._stream < 0)
                    if self._stream < 0:
                        return
                    self._waiting.append(request)
                    self._changed.notify_all()
        except BaseException as error:  # the caller's own, raised where the caller is
            self._failure = error
        finally:
            with self._changed:
                self._exhausted = True
                self._changed.notify_all()

    def _send(self, stream: int) -> Iterator[pb.StreamEventsRequest]:
        sent = 0  # the number of the batch that was sent last
        while (request := self._await_next(stream, sent)) is not None:
            yield request
            sent = request.batch

    def _await_next(self, stream: int, sent: int) -> pb.StreamEventsRequest | None:
        with self._changed:
            while self._stream == stream:
                if (request := self._next(sent)) is not None or self._exhausted:
                    return request
                self._changed.wait()
        return None

    def _next(self, sent: int) -> pb.StreamEventsRequest | None:
        """The first batch that waits and was not sent: numbers have no gaps."""
        place = max(0, sent + 1 - self._waiting[0].batch) if self._waiting else 0
        return self._waiting[place] if place < len(self._waiting) else None
