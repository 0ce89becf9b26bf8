"""One StreamEvents call: one thread reads batches for the writer, the call's own acknowledges them.

Reading stops while `limits.MAX_UNACKNOWLEDGED_BATCHES` are on their way to the store: gRPC's flow control then holds
the client back.
"""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import NamedTuple

from penchant.v1 import event_pb2 as pb

from graph.storage.errors import BadInputError, BusyError, StoppingError
from server import limits
from server.convert import timestamp
from server.event_writer import EventWriter, Written
from server.servicers.event_outcomes import other_rows
from server.servicers.event_rows import Batch, read_events


class _Sent(NamedTuple):
    request: pb.StreamEventsRequest
    batch: Batch
    written: "Future[Written]"


class EventStream:
    """`requests` is read in a thread of its own, which ends with the call."""

    def __init__(self, requests: Iterator[pb.StreamEventsRequest], writer: EventWriter) -> None:
        self._requests = requests
        self._writer = writer
        self._room = threading.Semaphore(limits.MAX_UNACKNOWLEDGED_BATCHES)
        self._sent: queue.SimpleQueue[_Sent | Exception | None] = queue.SimpleQueue()
        self._closed = False

    def acknowledgements(self) -> Iterator[pb.StreamEventsResponse]:
        """One of each batch, once it is durable; then whatever ended the stream is raised."""
        threading.Thread(target=self._read, name="read-events", daemon=True).start()
        try:
            while (sent := self._sent.get()) is not None:
                if isinstance(sent, Exception):
                    raise sent
                yield _acknowledgement(sent)
                self._room.release()
        finally:
            self._closed = True
            self._room.release()

    def stop(self) -> None:
        """What was read until now is acknowledged, then the stream ends with StoppingError."""
        self._sent.put(StoppingError("The server is stopping.", hint="Go on with another, or again later."))

    def _read(self) -> None:
        try:
            number = None
            while not self._closed:
                self._room.acquire()
                request = next(self._requests, None)
                if request is None or self._closed:
                    break
                number = _check_number(request, number)
                limits.check_count(request.events, "events", limits.MAX_EVENTS)
                batch = read_events(request.events)
                self._sent.put(_Sent(request, batch, self._writer.submit(batch.table)))
        except Exception as error:  # whatever it is, the thread that answers raises it
            self._sent.put(error)
        else:
            self._sent.put(None)


class Streams:
    """The streams of this server: so many at once, and all of them can be told to end."""

    def __init__(self, writer: EventWriter) -> None:
        self._writer = writer
        self._lock = threading.Lock()
        self._open: set[EventStream] = set()
        self._stopping = False

    @contextmanager
    def opened(self, requests: Iterator[pb.StreamEventsRequest]) -> Iterator[EventStream]:
        """Raises BusyError where there are too many, StoppingError after `stop`."""
        stream = EventStream(requests, self._writer)
        with self._lock:
            if self._stopping:
                raise StoppingError("The server is stopping.", hint="Go on with another, or again later.")
            if len(self._open) >= limits.MAX_STREAMS:
                raise BusyError(
                    f"{limits.MAX_STREAMS} streams are open, which is all that this server takes.",
                    hint="Send more events over each, or ask another server.",
                    reason="TOO_MANY_STREAMS",
                )
            self._open.add(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._open.discard(stream)

    def stop(self) -> None:
        with self._lock:
            self._stopping = True
            for stream in self._open:
                stream.stop()


def _check_number(request: pb.StreamEventsRequest, before: int | None) -> int:
    if not 1 <= request.batch <= limits.MAX_BATCH_NUMBER or (before is not None and request.batch != before + 1):
        wanted = "1 or more" if before is None else f"{before + 1}, one more than before"
        raise BadInputError(f"batch is {request.batch}, it has to be {wanted}.", field="batch", reason="INVALID_BATCH")
    return request.batch


def _acknowledgement(sent: _Sent) -> pb.StreamEventsResponse:
    outcomes, recorded_at = sent.written.result()
    answer = pb.StreamEventsResponse(batch=sent.request.batch, recorded_at=timestamp(recorded_at))
    for row, outcome in other_rows(sent.request.events, sent.batch.refused, outcomes):
        answer.others.add(row=row, outcome=outcome)
    answer.accepted = len(sent.request.events) - len(answer.others)
    return answer
