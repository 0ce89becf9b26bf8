"""Events that came and went between two snapshots, by kind, and the nodes that they and the catalog make."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Bools, Int16s, Int64s
from graph.ids import IdMap
from graph.snapshot import Snapshot


@dataclass(frozen=True)
class KindChange:
    """`after` = `before` + `added` - `withdrawn` - `unseen`."""

    kind: str
    before: int
    after: int
    added: int
    late: int  # of those added: had occurred before the first moment, and were not known then
    withdrawn: int  # by a retraction
    unseen: int  # the second moment is earlier, or knows less


@dataclass(frozen=True)
class NodeChange:
    """`after` = `before` + `added` - `gone`."""

    nodes: str
    before: int
    after: int
    added: int
    gone: int


def event_changes(before: Snapshot, after: Snapshot) -> tuple[KindChange, ...]:
    """One for each kind that has events in either. Events are told apart by their numbers in the store."""
    old, new = before.events, after.events
    is_added = ~np.isin(new.id, old.id)
    is_gone = ~np.isin(old.id, new.id)
    is_withdrawn = is_gone & np.isin(old.id, _withdrawn(after))
    is_late = is_added & (new.occurred_at < before.as_of) & ~np.isin(new.id, _withdrawn(before))
    names = list(dict.fromkeys(kind.name for kind in (*before.kinds, *after.kinds)))

    def count(snapshot: Snapshot, kinds: Int16s) -> Int64s:
        """int64 by name."""
        place = np.array([names.index(kind.name) for kind in snapshot.kinds], np.int64)
        return np.bincount(place[kinds], minlength=len(names))

    columns = (
        count(before, old.kind),
        count(after, new.kind),
        count(after, new.kind[is_added]),
        count(after, new.kind[is_late]),
        count(before, old.kind[is_withdrawn]),
        count(before, old.kind[is_gone & ~is_withdrawn]),
    )
    rows = zip(names, *(column.tolist() for column in columns), strict=True)
    return tuple(KindChange(*row) for row in rows if row[1] or row[2])


def _withdrawn(snapshot: Snapshot) -> Int64s:
    """int64 [w]: numbers of the events that it knows and does not show."""
    log = snapshot.log
    return log.events.id[(log.events.occurred_at < snapshot.as_of) & (log.withdrawn_at < snapshot.as_of)]


def node_changes(before: Snapshot, after: Snapshot) -> tuple[NodeChange, ...]:
    """Users with events, items and categories that exist. A user without a visible event says nothing of a moment."""
    return (
        _nodes("users with events", (before.users, _active(before)), (after.users, _active(after))),
        _nodes("items", (before.items, before.item_exists), (after.items, after.item_exists)),
        _nodes("categories", (before.categories, before.category_exists), (after.categories, after.category_exists)),
    )


def _active(snapshot: Snapshot) -> Bools:
    return np.bincount(snapshot.events.user, minlength=len(snapshot.users)) > 0


def _nodes(name: str, before: tuple[IdMap, Bools], after: tuple[IdMap, Bools]) -> NodeChange:
    old, new = (ids.surrogate[exists] for ids, exists in (before, after))
    both = int(np.isin(old, new).sum())
    return NodeChange(name, len(old), len(new), len(new) - both, len(old) - both)
