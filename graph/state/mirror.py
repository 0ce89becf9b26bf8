"""Every row of the events and users, sorted once and kept: any snapshot is a cut of it.

Rows are only ever added to the store, so a mirror is brought up to date by putting the new ones into their places.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np

from graph.arrays import Bools, Int64s
from graph.event_columns import EventColumns
from graph.events import EventLog, Events
from graph.ids import IdMap
from graph.reading import sorted_events
from graph.state.rows import bisected
from graph.storage.kinds import EventKind
from graph.storage.times import NEVER_US
from graph.threads import in_threads


@dataclass(frozen=True, eq=False)
class Retractions:
    """Columns [r] in the order in which they were read."""

    id: Int64s  # the retraction's own number in the store
    event: Int64s  # number of the event that it withdraws, -1 = not in the store
    occurred_at: Int64s
    recorded_at: Int64s

    def __len__(self) -> int:
        return len(self.id)

    def and_then(self, later: "Retractions") -> "Retractions":
        columns = [field.name for field in fields(Retractions)]
        return Retractions(*(np.concatenate([getattr(self, name), getattr(later, name)]) for name in columns))


@dataclass(frozen=True, eq=False)
class Mirror:
    """U users, I items, n events. Indices are places among all users and items of the store."""

    kinds: tuple[EventKind, ...]
    users: IdMap
    users_recorded_at: Int64s  # [U]
    items: Int64s  # [I] numbers in the store, ascending
    events: Events  # [n] whatever their times, but no retractions
    recorded_at: Int64s  # [n]
    retractions: Retractions

    def log(self, as_of: int, known_at: int) -> EventLog:
        """What a snapshot of that moment reads from the store."""
        known, withdrawn_at = self._known(as_of, known_at), self._withdrawn_at(as_of, known_at)
        if known.all():
            return EventLog(self.events, withdrawn_at)
        return EventLog(self.events.take(known), withdrawn_at[known])

    def visible(self, as_of: int, known_at: int, n_retractions: int) -> Bools:
        """bool [n]: known, happened before `as_of` and not withdrawn by one of the first `n_retractions`."""
        shown = self._known(as_of, known_at)
        shown[self._place[self._counted(as_of, known_at, n_retractions)]] = False
        return shown

    def _known(self, as_of: int, known_at: int) -> Bools:
        return (self.events.occurred_at < as_of) & (self.recorded_at <= known_at)

    def _withdrawn_at(self, as_of: int, known_at: int) -> Int64s:
        counted = self._counted(as_of, known_at, len(self.retractions))
        withdrawn = np.full(len(self.events), NEVER_US, np.int64)
        np.minimum.at(withdrawn, self._place[counted], self.retractions.occurred_at[counted])
        return withdrawn

    def _counted(self, as_of: int, known_at: int, n_retractions: int) -> Bools:
        """bool [r]: which retractions withdraw something at that moment."""
        retracted = self.retractions
        counted = (retracted.occurred_at < as_of) & (retracted.recorded_at <= known_at) & (self._place >= 0)
        counted[n_retractions:] = False
        return counted

    @cached_property
    def _place(self) -> Int64s:
        """int64 [r]: where the event stands that a retraction withdraws, -1 = nowhere."""
        named = self.retractions.event
        here = np.flatnonzero(np.isin(self.events.id, named))
        here = here[np.argsort(self.events.id[here])]
        ids = self.events.id[here]
        at = np.minimum(np.searchsorted(ids, named), max(len(ids) - 1, 0))
        place: Int64s = np.where(ids[at] == named, here[at], -1) if len(ids) else np.full(len(named), -1)
        return place

    def with_rows(
        self, columns: EventColumns, retractions: Retractions, users: IdMap, users_recorded_at: Int64s, items: IdMap
    ) -> tuple["Mirror", Int64s]:
        """The mirror with more rows, and where they stand in it. `users` and `items` begin with the mirror's own.

        `columns` are in the store's numbers, and are taken out as it goes.
        """
        known = self.retractions.and_then(retractions)
        mirror = replace(
            self, users=users, users_recorded_at=users_recorded_at, items=items.surrogate, retractions=known
        )
        if not len(columns["id"]):
            return mirror, np.zeros(0, np.int64)
        later, order = sorted_events(columns, self.kinds, users, items)
        recorded_at = columns.pop("recorded_at")[order]
        if not len(self.events):
            return replace(mirror, events=later, recorded_at=recorded_at), np.arange(len(later))
        place = _places(self.events, later)
        stays = np.ones(len(self.events) + len(later), np.bool_)
        stays[place] = False

        def both(names: str) -> Int64s:
            old = self.recorded_at if names == "recorded_at" else getattr(self.events, names)
            new = recorded_at if names == "recorded_at" else getattr(later, names)
            column = np.empty(len(stays), old.dtype)
            column[stays], column[place] = old, new
            return column

        names = [field.name for field in fields(Events)]
        *merged, recorded = in_threads(both, [*names, "recorded_at"])
        events = Events(*merged)  # type: ignore[arg-type]  # one for each field, in their order
        return replace(mirror, events=events, recorded_at=recorded), place


def _places(old: Events, new: Events) -> Int64s:
    """int64 [n], ascending: where each of the new events, which are sorted too, comes to stand among all."""

    def precedes(place: Int64s) -> Bools:
        before: Bools = old.id[place] < new.id
        for key in ("item", "sequence", "occurred_at"):
            ours, theirs = getattr(old, key)[place], getattr(new, key)
            before = (ours < theirs) | ((ours == theirs) & before)
        return before

    begin, end = (np.searchsorted(old.user, new.user, side) for side in ("left", "right"))
    return bisected(begin, end, precedes) + np.arange(len(new))
