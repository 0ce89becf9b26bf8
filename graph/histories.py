"""What users did, in order: the one form in which everything that computes for users takes them.

A compressed table over users (CSR): the events of row u are the slice offsets[u]:offsets[u + 1] of the columns.
All users of a snapshot are a Histories of U rows, a user being served is a Histories of one.
What speaks against its item is not in it but in `against`, a history of the same users; what was retracted is nowhere.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from graph.arrays import Bools, Float32s, Float64s, Int16s, Int32s, Int64s
from graph.meaning import Meaning
from graph.ranges import offsets_of, places
from graph.storage.errors import BadInputError

if TYPE_CHECKING:
    from graph.snapshot import Snapshot


@dataclass(frozen=True, eq=False)
class Histories:
    """U rows, N events, each row ascending in time.

    `step` counts 0, 1, … within a row. Events at one instant without `sequence` share a step: they are a set, and
    nothing may read an order from their places. With `sequence` each (occurred_at, sequence) is a step of its own.
    """

    offsets: Int64s  # [U + 1]
    item: Int32s  # [N] index into the items
    kind: Int16s  # [N] index into the snapshot's kinds
    occurred_at: Int64s  # [N] microseconds UTC
    value: Float32s  # [N] rating, quantity or price; NaN = none
    step: Int32s  # [N]
    n_items: int
    meaning: Meaning | None = None
    """What the kinds say; None: each event as much as any other, for ever."""
    against: "Histories | None" = None
    """Dislikes and low ratings of the same rows; None: there are none."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64s:
        """int64 [U]: events per row."""
        return np.diff(self.offsets)

    @property
    def nbytes(self) -> int:
        columns = (self.offsets, self.item, self.kind, self.occurred_at, self.value, self.step)
        return sum(column.nbytes for column in columns) + (self.against.nbytes if self.against else 0)

    @property
    def row_of(self) -> Int32s:
        """int32 [N]: the row of each event."""
        return np.repeat(np.arange(len(self), dtype=np.int32), self.lengths)

    def weights(self, now_us: npt.ArrayLike) -> Float64s:
        """float64 [N]: how much each event says as of `now_us` (one for all rows or int64 [U]), see `Meaning`."""
        if self.meaning is None:
            return np.ones(len(self.item))
        now = np.asarray(now_us, np.int64)
        age_us = (np.repeat(now, self.lengths) if now.ndim else now) - self.occurred_at
        return self.meaning.strength_after(self.kind, self.value, age_us)

    def heard(self, loudness: float) -> "Histories":
        """The same, where what events say is raised to `loudness`; at 0 each says as much as any other."""
        if self.meaning is None or loudness == 1:
            return self
        return replace(self, meaning=replace(self.meaning, loudness=loudness) if loudness else None)

    def select(self, users: npt.ArrayLike) -> "Histories":
        """The rows of `users` (indices, repeats allowed), in that order."""
        rows = np.asarray(users, dtype=np.int64)
        lengths = self.lengths[rows]
        chosen = self._events(places(self.offsets[:-1][rows], lengths), offsets_of(lengths))
        return chosen if self.against is None else replace(chosen, against=self.against.select(rows))

    def until(self, t: int | npt.ArrayLike) -> "Histories":
        """Events with occurred_at < t; `t` in microseconds, one for all rows or int64 [U].

        An event that was withdrawn later stays out even before its withdrawal; where that matters (training as of a
        past time), cut the snapshot (`Snapshot.until`), which knows when each was withdrawn.
        """
        limit = np.asarray(t, dtype=np.int64)
        earlier = self._keep(self.occurred_at < (np.repeat(limit, self.lengths) if limit.ndim else limit))
        return earlier if self.against is None else replace(earlier, against=self.against.until(limit))

    def oldest(self, n: npt.ArrayLike) -> "Histories":
        """The oldest n events of each row, `n` int64 [U]. What speaks against items stays whole."""
        place = np.arange(len(self.item)) - np.repeat(self.offsets[:-1], self.lengths)
        return self._keep(place < np.repeat(np.asarray(n, np.int64), self.lengths))

    def last(self, n: int) -> "Histories":
        """The newest n events of each row; steps count from 0 again. What speaks against items stays whole."""
        place_from_end = np.repeat(self.offsets[1:], self.lengths) - np.arange(len(self.item))
        return self._keep(place_from_end <= n)._from_step_0()

    def since(self, t: int) -> "Histories":
        """Events with occurred_at >= t, microseconds; steps count from 0 again."""
        return self._keep(self.occurred_at >= t)._from_step_0()

    def _from_step_0(self) -> "Histories":
        first = np.minimum(self.offsets[:-1], max(len(self.item) - 1, 0))
        base = self.step[first] if len(self.item) else np.zeros(len(self), np.int32)
        return replace(self, step=self.step - np.repeat(base, self.lengths))

    def _keep(self, mask: Bools) -> "Histories":
        kept_before = np.concatenate([[0], np.cumsum(mask, dtype=np.int64)])
        return self._events(np.flatnonzero(mask), kept_before[self.offsets])

    def _events(self, place: npt.NDArray[np.integer[Any]], offsets: Int64s) -> "Histories":
        return Histories(
            offsets=offsets,
            item=self.item[place],
            kind=self.kind[place],
            occurred_at=self.occurred_at[place],
            value=self.value[place],
            step=self.step[place],
            n_items=self.n_items,
            meaning=self.meaning,
            against=self.against,
        )


def joined(first: Histories, then: Histories) -> Histories:
    """The rows of both, one behind the other; without what speaks against items."""
    columns = ("item", "kind", "occurred_at", "value", "step")
    both: dict[str, Any] = {name: np.concatenate([getattr(first, name), getattr(then, name)]) for name in columns}
    offsets = np.concatenate([first.offsets, first.offsets[-1] + then.offsets[1:]])
    return replace(first, offsets=offsets, against=None, **both)


def histories_of(snapshot: "Snapshot") -> Histories:
    """The histories of all users of a snapshot; row = user index."""
    events = snapshot.events
    meaning = Meaning.of(snapshot.kinds)
    shown = meaning.side(events.kind, events.value) >= 0

    def of(chosen: Bools) -> Histories:
        rows = events if chosen.all() else events.take(chosen)
        columns = (rows.user, rows.item, rows.occurred_at, rows.sequence, rows.kind, rows.value)
        return replace(_from_sorted(*columns, len(snapshot.users), len(snapshot.items)), meaning=meaning)

    return of(shown) if shown.all() else replace(of(shown), against=of(~shown))


def histories_from_arrays(
    user: npt.ArrayLike,
    item: npt.ArrayLike,
    occurred_at: npt.ArrayLike,
    sequence: npt.ArrayLike | None = None,
    kind: npt.ArrayLike | None = None,
    value: npt.ArrayLike | None = None,
    *,
    n_users: int | None = None,
    n_items: int | None = None,
) -> Histories:
    """Histories without a store, from columns [N] in any order: indices, microseconds; `sequence` -1 = none."""
    users, items = np.asarray(user, np.int32), np.asarray(item, np.int32)
    when = np.asarray(occurred_at, np.int64)
    n = len(users)
    within = np.full(n, -1, np.int64) if sequence is None else np.asarray(sequence, np.int64)
    kinds = np.zeros(n, np.int16) if kind is None else np.asarray(kind, np.int16)
    values = np.full(n, np.nan, np.float32) if value is None else np.asarray(value, np.float32)
    if any(len(column) != n for column in (items, when, within, kinds, values)):
        raise BadInputError("the columns of a history differ in length")
    n_users = int(users.max(initial=-1)) + 1 if n_users is None else n_users
    n_items = int(items.max(initial=-1)) + 1 if n_items is None else n_items
    if n and (users.min() < 0 or users.max() >= n_users or items.min() < 0 or items.max() >= n_items):
        raise BadInputError(f"a user or item index outside of [0, {n_users}) and [0, {n_items})")
    order = np.lexsort((items, within, when, users))
    return _from_sorted(
        users[order], items[order], when[order], within[order], kinds[order], values[order], n_users, n_items
    )


def step_starts(user: Int32s, occurred_at: Int64s, sequence: Int64s) -> Bools:
    """bool [N]: which events begin a step; the columns are sorted by (user, occurred_at, sequence)."""
    starts = np.zeros(len(user), np.bool_)
    starts[:1] = True
    for column in (user, occurred_at, sequence):
        starts[1:] |= column[1:] != column[:-1]
    return starts


def steps_of(user: Int32s, occurred_at: Int64s, sequence: Int64s) -> Int32s:
    """int32 [N], the step of each event within its user; the columns are sorted by (user, occurred_at, sequence)."""
    if not len(user):
        return np.zeros(0, np.int32)
    new_user = np.concatenate([[True], user[1:] != user[:-1]])
    count = np.cumsum(step_starts(user, occurred_at, sequence))
    first = count[new_user]
    steps: Int32s = (count - first[np.cumsum(new_user) - 1]).astype(np.int32)
    return steps


def _from_sorted(
    user: Int32s,
    item: Int32s,
    occurred_at: Int64s,
    sequence: Int64s,
    kind: Int16s,
    value: Float32s,
    n_users: int,
    n_items: int,
) -> Histories:
    return Histories(
        offsets=offsets_of(np.bincount(user, minlength=n_users)),
        item=item,
        kind=kind,
        occurred_at=occurred_at,
        value=value,
        step=steps_of(user, occurred_at, sequence),
        n_items=n_items,
    )
