"""item -followed_by-> item: what comes after what within a user's history.

Two items d steps apart in a history (1 <= d <= max_distance) add 1/d to the edge from the earlier to the later one;
items of one instant are a set and at distance 1 from each other, so they add 1 in both directions. As matrices, with
B [steps, items] telling which items a step holds and P_d [steps, steps] pointing d steps ahead within a user:

    T = Bᵀ (I + Σ_d P_d / d) B,  without its diagonal

An item that follows itself is a repeat, not a relation between items. Only interest counts (sign > 0): a dislike is
not followed by anything. Retracted events are not in a snapshot at all.
"""

import numpy as np

from graph.arrays import Bools, Int32s, Int64s
from graph.hashing import mix
from graph.histories import steps_of
from graph.snapshot import Snapshot
from graph.sparse import Csr, keep_strongest, product_in_blocks, without_diagonal

MAX_STEP_ITEMS = 64
"""A step holds at most so many items here: the cost is linear in events, whatever one crawler puts into one second.
Of a larger step a pseudo-random choice stays, the same in every run (by item and moment, not by number of row)."""


def followed_by(snapshot: Snapshot, *, max_distance: int, keep_neighbours: int) -> Csr:
    """float32 CSR [I, I]; row = the earlier item, the strongest `keep_neighbours` of each row."""
    events = snapshot.events
    n_items = len(snapshot.items)
    interest = np.array([kind.sign > 0 for kind in snapshot.kinds] or [False])[events.kind]
    user, item = events.user[interest], events.item[interest]
    occurred_at, sequence = events.occurred_at[interest], events.sequence[interest]

    first, step = _number_steps(user, occurred_at, sequence)
    once = np.ones(len(item), np.bool_)
    once[1:] = (step[1:] != step[:-1]) | (item[1:] != item[:-1])  # an item counts once per step; events are sorted so
    step, item = step[once], item[once]
    kept = _at_most(step, snapshot.items.surrogate[item], occurred_at[first][step])
    step, item = step[kept], item[kept]

    n_steps = len(first)
    holds = Csr((np.ones(len(item), np.float32), (step, item)), shape=(n_steps, n_items))
    ahead = _ahead(user[first], max_distance) @ holds
    return product_in_blocks(
        holds.T.tocsr(), ahead, lambda rows, first: keep_strongest(without_diagonal(rows, first), keep_neighbours)
    )


def _number_steps(user: Int32s, occurred_at: Int64s, sequence: Int64s) -> tuple[Int64s, Int64s]:
    """(place of each step's first event [S], number of each event's step over all users [n])."""
    within = steps_of(user, occurred_at, sequence)
    new = np.ones(len(user), np.bool_)
    new[1:] = (user[1:] != user[:-1]) | (within[1:] != within[:-1])
    return np.flatnonzero(new), np.cumsum(new) - 1


def _at_most(step: Int64s, surrogate: Int64s, moment: Int64s) -> Bools:
    """Which entries stay when no step may hold more than MAX_STEP_ITEMS; entries are sorted by step."""
    sizes = np.bincount(step)[step] if len(step) else step
    if (sizes <= MAX_STEP_ITEMS).all():
        return np.ones(len(step), np.bool_)
    large = np.flatnonzero(sizes > MAX_STEP_ITEMS)
    lot = mix(mix(moment[large].astype(np.uint64)) ^ surrogate[large].astype(np.uint64))
    drawn = large[np.lexsort((lot, step[large]))]
    _, start, count = np.unique(step[drawn], return_index=True, return_counts=True)
    kept = np.ones(len(step), np.bool_)
    kept[drawn] = np.arange(len(drawn)) - np.repeat(start, count) < MAX_STEP_ITEMS
    return kept


def _ahead(user_of_step: Int32s, max_distance: int) -> Csr:
    """float32 CSR [S, S]: 1 on the diagonal, 1/d from a step to the one d later of the same user."""
    n = len(user_of_step)
    rows, columns, weights = [np.arange(n)], [np.arange(n)], [np.ones(n, np.float32)]
    for distance in range(1, max_distance + 1):
        same = np.flatnonzero(user_of_step[distance:] == user_of_step[: max(n - distance, 0)])
        rows.append(same)
        columns.append(same + distance)
        weights.append(np.full(len(same), 1 / distance, np.float32))
    return Csr((np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n))
