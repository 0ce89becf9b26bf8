"""Batches of events over a stream that may break: what was not acknowledged is sent again over the next one."""

import asyncio
import threading
import uuid
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import aclosing

from google.protobuf.timestamp_pb2 import Timestamp

from penchant.errors import ServerError
from penchant.v1 import event_pb2 as pb

MAX_UNACKNOWLEDGED = 16
"""Batches; what a server takes at most, which GetServerInfo says."""
PATIENCE_MS = 60_000.0

Batch = Sequence[pb.Event]


def complete_events(events: Iterable[pb.Event]) -> None:
    """Gives events without an id a random one, and those without a time the present."""
    now = Timestamp()
    now.GetCurrentTime()
    for each in events:
        each.event_id = each.event_id or uuid.uuid4().hex
        if not each.HasField("occurred_at"):
            each.occurred_at.CopyFrom(now)


class _Window:
    """The batches that were taken from the caller and not yet acknowledged, at most `size` of them."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"max_unacknowledged must be at least 1, not {size}")
        self._size = size
        self._waiting: deque[pb.StreamEventsRequest] = deque()
        self._taken = 0
        self.stream = 0
        """Number of the stream that is sending; older ones have ended. Negative: none is, for ever."""
        self.exhausted = False
        self.failure: BaseException | None = None

    def number(self, events: Batch) -> pb.StreamEventsRequest:
        self._taken += 1
        request = pb.StreamEventsRequest(batch=self._taken, events=events)
        complete_events(request.events)
        return request

    def has_room(self) -> bool:
        return len(self._waiting) < self._size or self.stream < 0

    def add(self, request: pb.StreamEventsRequest) -> None:
        self._waiting.append(request)

    def acknowledge(self, batch: int) -> None:
        if not self._waiting or self._waiting[0].batch != batch:
            raise ServerError(f"The server acknowledged batch {batch}, which is not the one whose turn it was.")
        self._waiting.popleft()

    def check_done(self) -> None:
        """Raises what the caller's batches raised; ServerError where some are left."""
        if self.failure is not None:
            raise self.failure
        if self._waiting or not self.exhausted:
            raise ServerError("The server ended the stream before all batches were acknowledged.")

    def is_decided(self, stream: int, sent: int) -> bool:
        """Whether `next` knows what `stream` does after the batch `sent`."""
        return self.stream != stream or self.exhausted or self.next(stream, sent) is not None

    def next(self, stream: int, sent: int) -> pb.StreamEventsRequest | None:
        """The first batch that waits and was not sent (numbers have no gaps); None where `stream` sends no more."""
        place = max(0, sent + 1 - self._waiting[0].batch) if self._waiting else 0
        return self._waiting[place] if self.stream == stream and place < len(self._waiting) else None


class Backlog:
    """The window of a client for threads.

    A thread of its own takes batches: the one that sends ends with its stream, perhaps while it waits for a batch.
    """

    def __init__(self, batches: Iterable[Batch], size: int) -> None:
        self._window = _Window(size)
        self._changed = threading.Condition()
        threading.Thread(target=self._fill, args=(batches,), name="take-batches", daemon=True).start()

    def requests(self) -> Iterator[pb.StreamEventsRequest]:
        """For one stream: all that waits from the first, then what comes; ends with the batches or with the stream."""
        with self._changed:
            self._window.stream += 1
            stream = self._window.stream
            self._changed.notify_all()
        return self._send(stream)

    def acknowledge(self, batch: int) -> None:
        with self._changed:
            self._window.acknowledge(batch)
            self._changed.notify_all()

    def check_done(self) -> None:
        with self._changed:
            self._window.check_done()

    def close(self) -> None:
        """Ends the threads, that of the batches once it gives another."""
        with self._changed:
            self._window.stream = -1
            self._changed.notify_all()

    def _fill(self, batches: Iterable[Batch]) -> None:
        window = self._window
        try:
            for events in batches:
                request = window.number(events)
                with self._changed:
                    self._changed.wait_for(window.has_room)
                    if window.stream < 0:
                        return
                    window.add(request)
                    self._changed.notify_all()
        except BaseException as error:  # the caller's own, raised where the caller is
            window.failure = error
        finally:
            with self._changed:
                window.exhausted = True
                self._changed.notify_all()

    def _send(self, stream: int) -> Iterator[pb.StreamEventsRequest]:
        sent = 0  # the number of the batch that was sent last
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._window.is_decided(stream, sent))  # noqa: B023  # waited for here
                request = self._window.next(stream, sent)
            if request is None:
                return
            yield request
            sent = request.batch


class AsyncBacklog:
    """The window of a client for event loops; a task of its own takes batches."""

    def __init__(self, batches: Iterable[Batch] | AsyncIterable[Batch], size: int) -> None:
        self._window = _Window(size)
        self._changed = asyncio.Condition()
        self._filling = asyncio.create_task(self._fill(batches))

    async def requests(self) -> AsyncIterator[pb.StreamEventsRequest]:
        """As Backlog.requests; the stream's turn begins here."""
        async with self._changed:
            self._window.stream += 1
            stream = self._window.stream
            self._changed.notify_all()
        return self._send(stream)

    async def acknowledge(self, batch: int) -> None:
        async with self._changed:
            self._window.acknowledge(batch)
            self._changed.notify_all()

    def check_done(self) -> None:
        self._window.check_done()

    async def close(self) -> None:
        """Ends the tasks."""
        self._filling.cancel()
        await asyncio.wait([self._filling])
        del self._filling  # whose traceback would keep the batches
        async with self._changed:
            self._window.stream = -1
            self._changed.notify_all()

    async def _fill(self, batches: Iterable[Batch] | AsyncIterable[Batch]) -> None:
        window = self._window
        try:
            async with aclosing(_each(batches)) as each:
                async for events in each:
                    request = window.number(events)
                    async with self._changed:
                        await self._changed.wait_for(window.has_room)
                        window.add(request)
                        self._changed.notify_all()
        except Exception as error:  # the caller's own, raised where the caller is
            window.failure = error
        async with self._changed:
            window.exhausted = True
            self._changed.notify_all()

    async def _send(self, stream: int) -> AsyncIterator[pb.StreamEventsRequest]:
        sent = 0  # the number of the batch that was sent last
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._window.is_decided(stream, sent))  # noqa: B023  # as above
                request = self._window.next(stream, sent)
            if request is None:
                return
            yield request
            sent = request.batch


async def _each(batches: Iterable[Batch] | AsyncIterable[Batch]) -> AsyncGenerator[Batch, None]:
    if isinstance(batches, AsyncIterable):
        async for each in batches:
            yield each
    else:
        for each in batches:
            yield each
