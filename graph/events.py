"""Events as columns, and the log from which any earlier moment can be cut."""

from dataclasses import dataclass, fields

import numpy as np

from graph.arrays import Bools, Float32s, Int16s, Int32s, Int64s
from graph.threads import in_threads

MANY = 200_000
"""Rows that take longer to copy than threads to start."""


@dataclass(frozen=True, eq=False)
class Events:
    """Columns [n], sorted by (user, occurred_at, sequence, item, id); an event without sequence comes first."""

    user: Int32s  # index
    item: Int32s  # index
    kind: Int16s  # index into the snapshot's kinds
    value: Float32s  # NaN = none
    occurred_at: Int64s  # microseconds UTC
    sequence: Int64s  # the source's order within one instant, -1 = none
    session: Int64s  # hash of the basket's or visit's key, -1 = none
    id: Int64s  # the store's number, ascending in the order of arrival

    def __len__(self) -> int:
        return len(self.user)

    def take(self, rows: Bools | Int64s) -> "Events":
        """Those of a mask [n], or those at places."""
        columns = (getattr(self, column.name) for column in fields(self))
        if len(rows) < MANY:
            return Events(*(column[rows] for column in columns))
        place = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Events(*in_threads(lambda column: column[place], columns))


@dataclass(frozen=True, eq=False)
class EventLog:
    """All known events before the snapshot's moment, with the time at which each was withdrawn (NEVER_US = not yet)."""

    events: Events
    withdrawn_at: Int64s

    def at(self, t: int) -> Events:
        visible = (self.events.occurred_at < t) & (self.withdrawn_at >= t)
        return self.events if visible.all() else self.events.take(visible)
