"""One StreamEvents call: a task reads batches for the writer, the call itself acknowledges them.

Reading stops while `limits.MAX_UNACKNOWLEDGED_BATCHES` are on their way to the store: gRPC's flow control then holds
the client back.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from concurrent.futures import Executor
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
    written: "asyncio.Future[Written]"


class EventStream:
    """`requests` is read by a task of its own, which ends with the call; rows are taken apart in `threads`."""

    def __init__(
        self, requests: AsyncIterator[pb.StreamEventsRequest], writer: EventWriter, threads: Executor | None = None
    ) -> None:
        self._requests = requests
        self._writer = writer
        self._threads = threads
        self._room = asyncio.Semaphore(limits.MAX_UNACKNOWLEDGED_BATCHES)
        self._sent: asyncio.Queue[_Sent | Exception | None] = asyncio.Queue()

    async def acknowledgements(self) -> AsyncGenerator[pb.StreamEventsResponse, None]:
        """One of each batch, once it is durable; then whatever ended the stream is raised."""
        reading = asyncio.create_task(self._read())
        try:
            while (sent := await self._sent.get()) is not None:
                if isinstance(sent, Exception):
                    raise sent
                yield _acknowledgement(sent, await sent.written)
                self._room.release()
        finally:
            reading.cancel()
            while not self._sent.empty():  # written all the same, and nobody waits for how it ends
                if isinstance(sent := self._sent.get_nowait(), _Sent):
                    sent.written.cancel()

    def stop(self) -> None:
        """What was read until now is acknowledged, then the stream ends with StoppingError."""
        self._sent.put_nowait(StoppingError("The server is stopping.", hint="Go on with another, or again later."))

    async def _read(self) -> None:
        try:
            number, loop = None, asyncio.get_running_loop()
            await self._room.acquire()
            async for request in self._requests:
                number = _check_number(request, number)
                limits.check_count(request.events, "events", limits.MAX_EVENTS)
                batch = await loop.run_in_executor(self._threads, read_events, request.events)
                written = self._writer.write(batch.table, len(batch.refused))
                self._sent.put_nowait(_Sent(request, batch, written))
                await self._room.acquire()
        except Exception as error:  # whatever it is, the call that answers raises it
            self._sent.put_nowait(error)
        else:
            self._sent.put_nowait(None)


class Streams:
    """The streams of this server, all in one loop: so many at once, and all of them can be told to end."""

    def __init__(self, writer: EventWriter, threads: Executor | None = None) -> None:
        self._writer = writer
        self._threads = threads
        self._open: set[EventStream] = set()
        self._stopping = False

    @contextmanager
    def opened(self, requests: AsyncIterator[pb.StreamEventsRequest]) -> Iterator[EventStream]:
        """Raises BusyError where there are too many, StoppingError after `stop`."""
        if self._stopping:
            raise StoppingError("The server is stopping.", hint="Go on with another, or again later.")
        if len(self._open) >= limits.MAX_STREAMS:
            raise BusyError(
                f"{limits.MAX_STREAMS} streams are open, which is all that this server takes.",
                hint="Send more events over each, or ask another server.",
                reason="TOO_MANY_STREAMS",
            )
        stream = EventStream(requests, self._writer, self._threads)
        self._open.add(stream)
        try:
            yield stream
        finally:
            self._open.discard(stream)

    def stop(self) -> None:
        self._stopping = True
        for stream in self._open:
            stream.stop()


def _check_number(request: pb.StreamEventsRequest, before: int | None) -> int:
    if not 1 <= request.batch <= limits.MAX_BATCH_NUMBER or (before is not None and request.batch != before + 1):
        wanted = "1 or more" if before is None else f"{before + 1}, one more than before"
        raise BadInputError(f"batch is {request.batch}, it has to be {wanted}.", field="batch", reason="INVALID_BATCH")
    return request.batch


def _acknowledgement(sent: _Sent, written: Written) -> pb.StreamEventsResponse:
    outcomes, recorded_at = written
    answer = pb.StreamEventsResponse(batch=sent.request.batch, recorded_at=timestamp(recorded_at))
    for row, outcome in other_rows(sent.request.events, sent.batch.refused, outcomes):
        answer.others.add(row=row, outcome=outcome)
    answer.accepted = len(sent.request.events) - len(answer.others)
    return answer
