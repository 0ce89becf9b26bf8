"""Group commit: one thread takes the batches that wait, of all streams and calls, into one transaction.

A transaction that is durable costs the same whether it holds ten events or ten thousand, and writers that share one
do not wait for each other's lock.
"""

import asyncio
import queue
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import structlog

from graph.storage.database import Database
from graph.storage.errors import PenchantError, StoppingError
from graph.storage.events import UnknownItems, append_events
from graph.storage.outcomes import Outcomes
from graph.storage.times import now_us

SOURCE = "rpc"
MAX_GROUP_ROWS = 8_000
"""Half of what one stream may have on its way: while one half is written, the other is read."""

log = structlog.get_logger("penchant.server")


class Written(NamedTuple):
    """What became of each row of a batch, and the time under which the accepted ones count as known."""

    outcomes: Outcomes
    recorded_at: int


@dataclass(frozen=True)
class _Batch:
    events: pa.Table
    done: "Future[Written]" = field(default_factory=Future)

    def named(self) -> set[str]:
        """The event ids that it brings or takes back."""
        retracts = self.events["retracts"]
        ids = set(self.events["event_id"].to_pylist())
        return ids if retracts.null_count == len(retracts) else ids.union(retracts.drop_null().to_pylist())


class EventWriter:
    """Writes batches in the order in which they come. Threads may share it; `stop` writes what it was given."""

    def __init__(
        self,
        database: Database,
        *,
        unknown_items: UnknownItems,
        clock_tolerance_us: int,
        on_written: Callable[[Iterable[str]], None] = lambda users: None,
        count: Callable[[str, int], None] = lambda outcome, rows: None,
    ) -> None:
        """on_written: told of the users of events that are durable, before anybody hears that they are.
        count: told an outcome and how many rows had it, from any thread.
        """
        self._database = database
        self._on_written = on_written
        self._unknown_items = unknown_items
        self._clock_tolerance_us = clock_tolerance_us
        self._count = count
        self._waiting: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        self._held: _Batch | None = None
        """Taken from the queue, but for the group after this one."""
        self._lock = threading.Lock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="write-events", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, events: pa.Table) -> "Future[Written]":
        """`events` as columns.EVENTS, each with an event_id; the answer is there once they are durable.

        The future raises StoreUnavailableError. StoppingError after `stop`.
        """
        batch = _Batch(events)
        with self._lock:
            if self._stopped:
                raise StoppingError("The server is stopping.", hint="Send the events to another, or again later.")
            self._waiting.put(batch)
        return batch.done

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def write(self, events: pa.Table, unreadable: int = 0) -> "asyncio.Future[Written]":
        """`submit`, to be awaited in a loop. Who gives up waiting does not take back what was submitted.

        `unreadable`: rows sent along that are no events; they are counted here and go no further.
        """
        if unreadable:
            self._count("unreadable", unreadable)
        return asyncio.shield(asyncio.wrap_future(self.submit(events)))

    def stop(self) -> None:
        """Returns once everything submitted is written."""
        with self._lock:
            if not self._stopped:
                self._waiting.put(None)
            self._stopped = True
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while group := self._next_group():
            self._write(group)

    def _next_group(self) -> list[_Batch]:
        """What waits, first come first; empty at the end.

        No event id is named twice in a group: then it makes no difference that its batches are written as one.
        """
        first = self._held or self._waiting.get()
        self._held = None
        if first is None:
            return []
        group, rows, named = [first], len(first.events), first.named()
        while rows < MAX_GROUP_ROWS and not self._waiting.empty():
            batch = self._waiting.get()
            if batch is None:
                self._waiting.put(None)  # the end, seen again once this group is written
                break
            ids = batch.named()
            if rows + len(batch.events) > MAX_GROUP_ROWS or not named.isdisjoint(ids):
                self._held = batch
                break
            group.append(batch)
            rows, named = rows + len(batch.events), named | ids
        return group

    def _write(self, group: list[_Batch]) -> None:
        try:
            written = self._append(pa.concat_tables([batch.events for batch in group]))
        except Exception as error:  # whatever it is, the batches that caused nothing are still written
            if len(group) > 1 and not isinstance(error, PenchantError):
                log.error("a group of batches could not be written, trying each alone", exc_info=error)
                for batch in group:
                    self._write([batch])
            else:
                for batch in group:
                    batch.done.set_exception(error)
            return
        for outcome, rows in written.outcomes.counts().items():
            self._count(outcome, rows)
        start = 0
        for batch in group:
            end = start + len(batch.events)
            batch.done.set_result(Written(written.outcomes.part(start, end), written.recorded_at))
            start = end

    def _append(self, events: pa.Table) -> Written:
        recorded_at = now_us()
        outcomes = append_events(
            self._database,
            events,
            source=SOURCE,
            unknown_items=self._unknown_items,
            recorded_at=recorded_at,
            future_tolerance_us=self._clock_tolerance_us,
        )
        self._on_written(set(events["user"].to_pylist()))
        return Written(outcomes, recorded_at)
