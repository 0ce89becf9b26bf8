"""Histories as sparse incidence matrices, with the caps that keep pairs of events from exploding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Int64s
from graph.histories import Histories

MAX_HISTORY = 1_000
"""Newest events of a user that memories learn from: a user with n events in one memory costs up to n² pairs."""
MAX_SET = 100
"""Items of one instant that memories learn from; a larger set is thinned evenly: a life under one date is no basket."""


@dataclass(frozen=True)
class Steps:
    """The steps of all users, in order.

    items: CSR `[steps, items]`, ones; user: int64 `[steps]`; number: int64 `[steps]`, the step within its user.
    """

    items: Any
    user: Int64s
    number: Int64s


def steps_of(histories: Histories, *, max_history: int = MAX_HISTORY, max_set: int = MAX_SET) -> Steps:
    """Steps of each user's newest `max_history` events; sets above `max_set` items thinned evenly."""
    recent = histories.last(max_history)
    user, number = recent.row_of.astype(np.int64), recent.step.astype(np.int64)
    first = np.ones(len(user), dtype=bool)
    first[1:] = (user[1:] != user[:-1]) | (number[1:] != number[:-1])
    step = np.cumsum(first) - 1
    sizes = np.bincount(step, minlength=int(first.sum()))
    place = np.arange(len(step)) - np.flatnonzero(first)[step]
    allowed = np.minimum(sizes, max_set)[step]
    kept = (place * allowed) // sizes[step] != ((place - 1) * allowed) // sizes[step]
    items = csr_array(
        (np.ones(int(kept.sum()), dtype=np.float32), (step[kept], recent.item[kept])),
        shape=(len(sizes), recent.n_items),
    )
    items.sum_duplicates()
    items.data[:] = 1
    return Steps(items, user[first], number[first])


def users_by_items(histories: Histories) -> csr_array:
    """Who had what: CSR `[users, items]` of ones."""
    matrix = csr_array(
        (np.ones(len(histories.item), dtype=np.float32), (histories.row_of, histories.item)),
        shape=(len(histories), histories.n_items),
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
