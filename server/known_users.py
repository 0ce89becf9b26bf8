"""What is known of users who were asked about lately: the model has looked at them, and nothing has happened since.

An answer is kept until an event of the user is recorded, here (told at once by the writer) or by any other process
(told by the change feed), and for a minute at most, since time itself changes what is said; less where an event is
recorded that the clock has yet to pass. While the feed has not been read for a moment nothing that is kept counts, so
no answer is older than a second after an event was acknowledged.
"""

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from graph.storage.kinds import EventKind
from server.engine import Engine, Past
from training.artifact import Artifact
from training.fast.answer import Answer

KEPT_S = 60.0
FEED_S = 0.7
"""How long ago the feed may have been read, it is read every 200 ms."""
CUT_OFF_S = 10.0
"""For how long the feed has not been read where nobody should wait for the store any more: as long as callers do."""

Known = tuple[Past, Answer]


class _Entry(NamedTuple):
    artifact: "weakref.ref[Artifact]"
    """Weak: a revision that nothing else needs is not kept for users who were asked about under it."""
    kinds: tuple[EventKind, ...]
    """What events were taken to say."""
    known: Known
    until: float
    size: int


class Reading:
    """Who did something while the store was read."""

    def __init__(self) -> None:
        self._users: set[str] = set()
        self._anybody = False

    def note(self, users: frozenset[str] | None) -> None:
        if users is None:
            self._anybody = True
        else:
            self._users |= users

    def missed(self, user: str) -> bool:
        return self._anybody or user in self._users


class KnownUsers:
    """Threads may share it. Times are monotonic seconds."""

    def __init__(self, *, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._readings: set[Reading] = set()
        self._feed_read_at = -FEED_S

    def size(self) -> tuple[int, int]:
        """Users of whom something is kept, and its bytes."""
        return len(self._entries), self._bytes

    def find(self, engine: Engine, user: str, *, or_stale: bool = False) -> Known | None:
        """What is kept of a user, if it still holds.

        or_stale: also what may have been overtaken, for when the store is away and there is nothing better.
        """
        with self._lock:
            entry = self._entries.get(user)
            if (
                entry is None
                or entry.artifact() is not engine.revision.artifact
                or entry.kinds != engine.live.told_kinds
            ):
                return None
            now = time.monotonic()
            if not or_stale and (now >= entry.until or now >= self._feed_read_at + FEED_S):
                return None
            self._entries.move_to_end(user)
            return entry.known

    @contextmanager
    def reading(self) -> Iterator["Reading"]:
        """Around a reading of the store, for `keep`: who did something meanwhile is noted."""
        reading = Reading()
        with self._lock:
            self._readings.add(reading)
        try:
            yield reading
        finally:
            with self._lock:
                self._readings.discard(reading)

    def keep(self, reading: "Reading", engine: Engine, user: str, known: Known, *, for_s: float = KEPT_S) -> None:
        """For so many seconds at most; not at all where the user did something since the reading began."""
        size, until = _size(known), time.monotonic() + min(for_s, KEPT_S)
        with self._lock:
            if reading.missed(user):
                return
            self._drop(user)
            artifact = weakref.ref(engine.revision.artifact)
            self._entries[user] = _Entry(artifact, engine.live.told_kinds, known, until, size)
            self._bytes += size
            while self._bytes > self._most_bytes:
                self._drop(next(iter(self._entries)))

    def forget(self, users: Iterable[str] | None) -> None:
        """These did something; None: nobody knows who."""
        named = None if users is None else frozenset(users)
        with self._lock:
            for reading in self._readings:
                reading.note(named)
            if named is None:
                self._entries.clear()
                self._bytes = 0
            else:
                for user in named:
                    self._drop(user)

    def feed_was_read(self, at: float) -> None:
        """All that was committed before `at` has been told."""
        self._feed_read_at = at

    def feed_silent_s(self) -> float:
        """How long ago the feed was read; from the first time on."""
        return max(time.monotonic() - self._feed_read_at, 0.0) if self._feed_read_at >= 0 else 0.0

    def is_cut_off(self) -> bool:
        """Whether the store has been away for so long that asking it is in vain: the feed says when it is back."""
        return self.feed_silent_s() > CUT_OFF_S

    def _drop(self, user: str) -> None:
        entry = self._entries.pop(user, None)
        if entry is not None:
            self._bytes -= entry.size


def _size(known: Known) -> int:
    """Bytes, of what is large."""
    past, answer = known
    return answer.nbytes + past.histories.nbytes + 1_000
