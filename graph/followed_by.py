"""item -followed_by-> item: what comes after what within a user's history.

Two items d steps apart in a history (1 <= d <= max_distance) add 1/d to the edge from the earlier to the later one;
items of one instant are a set and at distance 1 from each other, so they add 1 in both directions. As matrices, with
B [steps, items] telling which items a step holds and P_d [steps, steps] pointing d steps ahead within a user:

    T = Bᵀ (I + Σ_d P_d / d) B,  without its diagonal

An item that follows itself is a repeat, not a relation between items. Only what speaks for its item counts: a dislike
is not followed by anything. Retracted events are not in a snapshot at all.
"""

from collections.abc import Sequence

import numpy as np

from graph.arrays import Bools, Int64s
from graph.events import Events
from graph.follow_counts import Entries, count, entries_of, unit
from graph.meaning import Meaning
from graph.snapshot import Snapshot
from graph.sparse import Csr, keep_strongest, stacked
from graph.storage.kinds import EventKind


def followed_by(snapshot: Snapshot, *, max_distance: int, keep_neighbours: int) -> Csr:
    """float32 CSR [I, I]; row = the earlier item, the strongest `keep_neighbours` of each row."""
    entries = interest_entries(snapshot.events, snapshot.kinds, snapshot.items.surrogate, max_distance)
    n_items = len(snapshot.items)
    shown = stacked(count(entries, n_items, lambda rows, _: strongest(rows, keep_neighbours)), (n_items, n_items))
    return weighed(shown, max_distance)


def interest_entries(events: Events, kinds: Sequence[EventKind], surrogate: Int64s, max_distance: int) -> Entries:
    """Of events, those that show interest; `surrogate` [I] are the numbers of the items in the store."""
    interest = shows_interest(events, kinds)
    return entries_of(
        events.user[interest],
        events.item[interest],
        events.occurred_at[interest],
        events.sequence[interest],
        surrogate,
        max_distance,
    )


def shows_interest(events: Events, kinds: Sequence[EventKind]) -> Bools:
    """bool [n]"""
    return Meaning.of(kinds).side(events.kind, events.value) > 0


def strongest(counts: Csr, keep_neighbours: int) -> Csr:
    """The largest counts of each row, as float32: above 2^24 units (20,000 times side by side) the nearest number."""
    return keep_strongest(
        Csr((counts.data.astype(np.float32), counts.indices, counts.indptr), counts.shape), keep_neighbours
    )


def weighed(counts: Csr, max_distance: int) -> Csr:
    """Counts as weights: 1 for each time one item came right after the other."""
    return Csr((counts.data / np.float32(unit(max_distance)), counts.indices, counts.indptr), counts.shape)
