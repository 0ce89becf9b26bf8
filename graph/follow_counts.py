"""How often which item follows which, counted exactly: in whole units of which 1/d holds a whole number.

Sums of whole numbers do not depend on their order. So a count from which a user was taken away, and to which the user
was added again, is the count over all users to the last bit, and equally strong neighbours stay equally strong.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from graph.arrays import Bools, Float64s, Int32s, Int64s
from graph.hashing import mix
from graph.histories import step_starts
from graph.order import grouped
from graph.ranges import offsets_of, places
from graph.sparse import Csr, row_blocks, without_diagonal
from graph.threads import in_threads

MAX_STEP_ITEMS = 64
"""A step holds at most so many items here: the cost is linear in events, whatever one crawler puts into one second.
Of a larger step a pseudo-random choice stays, the same in every run (by item and moment, not by number of row)."""

MOST_UNITS = 1 << 20
"""Where no smaller unit divides all of 1/1 … 1/max_distance, 1/d is rounded to one part in so many."""

R = TypeVar("R")


@lru_cache
def unit(max_distance: int) -> int:
    """What an item at distance 1 counts."""
    return min(math.lcm(*range(1, min(max_distance, 17) + 1)), MOST_UNITS)  # of 1 … 17 it is too large already


def weights(max_distance: int) -> Int64s:
    """int64 [max_distance + 1]: what an item so many steps later counts; one of the same step as much as the next."""
    return np.rint(unit(max_distance) / np.maximum(np.arange(max_distance + 1), 1)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Entries:
    """What each step holds, an item once. n entries in the order of users and their steps."""

    item: Int32s  # [n]
    step: Int32s  # [n] ascending over all users
    first: Int32s  # [n] the entries [first, end) lie in the entry's step and the max_distance steps after it
    end: Int32s  # [n]
    max_distance: int


def entries_of(
    user: Int32s, item: Int32s, occurred_at: Int64s, sequence: Int64s, surrogate: Int64s, max_distance: int
) -> Entries:
    """Entries of events [n] sorted as in a log; `surrogate` [I] are the numbers of the items in the store."""
    new = step_starts(user, occurred_at, sequence)
    step = np.cumsum(new, dtype=np.int32) - np.int32(1)
    once = new.copy()
    once[1:] |= item[1:] != item[:-1]  # an item counts once per step; events are sorted so
    if not once.all():
        user, item, occurred_at, step = user[once], item[once], occurred_at[once], step[once]
    kept = _at_most(step, item, occurred_at, surrogate)
    if not kept.all():
        user, item, step = user[kept], item[kept], step[kept]
    n_steps = int(step[-1]) + 1 if len(step) else 0
    start = np.searchsorted(step, np.arange(n_steps + 1)).astype(np.int32)  # of each step
    begun = np.ones(len(user), np.bool_)
    begun[1:] = user[1:] != user[:-1]
    next_users = np.append(step[np.flatnonzero(begun)[1:]], n_steps).astype(np.int32)[np.cumsum(begun) - 1]
    end = start[np.minimum(step + np.int32(max_distance + 1), next_users)] if len(step) else step
    return Entries(item, step, start[step] if len(step) else step, end, max_distance)


def count(entries: Entries, n_items: int, each: Callable[[Csr, int], R]) -> list[R]:
    """`each` of the counts [some rows, I], row = the earlier item, with the number of the first row, in their order.

    Counts are int32 or int64 CSR with sorted columns. `each` is called from several threads.
    """
    by_item = grouped(entries.item, n_items) if len(entries.item) else entries.item
    offsets = offsets_of(np.bincount(entries.item, minlength=n_items))
    width = entries.end - entries.first
    cost: Float64s = np.bincount(entries.item, width, minlength=n_items).astype(np.float64)
    largest = int(cost.max(initial=0)) * unit(entries.max_distance)
    value = weights(entries.max_distance).astype(np.int32 if largest <= np.iinfo(np.int32).max else np.int64)

    def block(bounds: tuple[int, int]) -> R:
        begin, stop = bounds
        source = by_item[offsets[begin] : offsets[stop]]
        lengths = width[source]
        place = places(entries.first[source], lengths)
        apart = entries.step[place] - np.repeat(entries.step[source], lengths)
        indptr = offsets_of(lengths)[offsets[begin : stop + 1] - offsets[begin]]
        found = Csr((value[apart], entries.item[place], indptr), shape=(stop - begin, n_items))
        found.sum_duplicates()
        return each(without_diagonal(found, begin), begin)

    return list(in_threads(block, row_blocks(cost)))


def _at_most(step: Int32s, item: Int32s, moment: Int64s, surrogate: npt.NDArray[np.integer[Any]]) -> Bools:
    """Which entries stay when no step may hold more than MAX_STEP_ITEMS; entries are sorted by step."""
    kept = np.ones(len(step), np.bool_)
    sizes = np.bincount(step) if len(step) else step
    if sizes.max(initial=0) <= MAX_STEP_ITEMS:
        return kept
    large = np.flatnonzero(sizes[step] > MAX_STEP_ITEMS)
    lot = mix(mix(moment[large].astype(np.uint64)) ^ surrogate[item[large]].astype(np.uint64))
    drawn = large[np.lexsort((lot, step[large]))]
    _, start, size = np.unique(step[drawn], return_index=True, return_counts=True)
    kept[drawn] = np.arange(len(drawn)) - np.repeat(start, size) < MAX_STEP_ITEMS
    return kept
