"""The order of an event log, found in the time of a few passes over it."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array

from graph.arrays import Int32s, Int64s

Integers = npt.NDArray[np.integer[Any]]


def grouped(group: Integers, n_groups: int) -> Int32s:
    """int32 [n]: the places of group 0, then those of group 1, …, each in the order in which they stand."""
    n = len(group)
    ones = np.broadcast_to(np.int8(1), n)
    places: Int32s = coo_array((ones, (group, np.arange(n, dtype=np.int32))), shape=(n_groups, n)).tocsr().indices
    return places


def event_order(user: Int32s, item: Int32s, occurred_at: Int64s, sequence: Int64s, row_id: Int64s) -> Integers:
    """int [n]: the places of events by (user, occurred_at, sequence, item, id); users and items are indices >= 0.

    A log comes nearly in the order of time, which a stable sort by time makes good use of; grouping it by user keeps
    that order, and only events of one user at one time are compared by the rest.
    """
    if not len(user):
        return np.zeros(0, np.int64)
    in_time = bool((occurred_at[1:] >= occurred_at[:-1]).all())
    if in_time:
        order: Integers = grouped(user, int(user.max()) + 1)
    else:
        by_time = np.argsort(occurred_at, kind="stable").astype(np.int32)
        order = by_time[grouped(user[by_time], int(user.max()) + 1)]
    owner, moment = user[order], occurred_at[order]
    level = (owner[1:] == owner[:-1]) & (moment[1:] == moment[:-1])
    tied = np.append(level, False)
    tied[1:] |= level
    places = np.flatnonzero(tied)
    if len(places):
        rows = order[places]
        new_group = np.append(True, ~level)[places]
        by_rest = np.lexsort((row_id[rows], item[rows], sequence[rows], np.cumsum(new_group)))
        order[places] = rows[by_rest]
    return order
