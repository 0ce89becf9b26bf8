"""What a user dislikes is pushed down, and what is like it a little: p'(i) = p(i) · exp(-push(i)) / Z.

    push(i) = OWN · s(i)  +  near · Σ_d s(d) · max(0, alike(i, d))²      over items d ≠ i

The sum is over the REACHING strongest dislikes. s is the strength of the user's dislikes of an item as of now
(`graph/meaning.py`: weight, points below the middle, half-life), less the share that newer events take back: so many
purchases' worth of them as have happened since, one being enough for all of it. Likeness is that of likeness.py. p' is
a distribution again, and what a source contributed to p it contributes to p' in the same share. OWN makes an item 400
times less probable for one dislike of weight 1; `near` is learned from what users with dislikes did next
(aversion_fit.py), NEAR where there are too few.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from graph.arrays import Float32s, Float64s, Int32s, Int64s
from graph.histories import Histories
from training.likeness import Likeness
from training.mixture_net import strongest_of

OWN = 6.0
NEAR = 1.0
REACHING = 50
"""Dislikes of a user that reach like items, the strongest: each costs memory for every item of the catalog."""
MOST = 30.0
"""No push is harder, however many dislikes there are."""
NEAR_DISLIKES = "near_dislikes"
"""What the manifest's config calls `near`."""


def averted(p: Float32s, histories: Histories, now_us: Int64s, likeness: Likeness, near: float) -> Float32s:
    """p' of p [B, V], in place."""
    for row, dislikes in who_dislikes(histories, now_us):
        left = left_of(dislikes, likeness, near)
        p[row] = p[row] * left / mass_left(p[row], left)
    return p


class Dislikes(NamedTuple):
    """Of one user: the items [D], ascending, and how strong each dislike is, [D]."""

    item: Int32s
    strength: Float64s


def left_of(dislikes: Dislikes, likeness: Likeness, near: float, items: Int64s | None = None) -> Float64s:
    """e^(-push), float64 [M], of `items`, ascending (None: the whole catalog)."""
    disliked, strength = dislikes
    place, known = disliked, np.ones(len(disliked), np.bool_)
    if items is not None:
        place = np.minimum(np.searchsorted(items, disliked), max(len(items) - 1, 0)).astype(np.int32)
        known = items[place] == disliked if len(items) else np.zeros(len(disliked), np.bool_)
    reaching = strongest_of(strength, REACHING)
    alike = np.maximum(likeness.between(items, disliked[reaching]), 0) ** 2
    alike[place[reaching][known[reaching]], np.flatnonzero(known[reaching])] = 0
    push = near * (alike @ strength[reaching].astype(np.float32))
    push[place[known]] += OWN * strength[known].astype(np.float32)
    left: Float64s = np.exp(-np.minimum(push, MOST).astype(np.float64))
    return left


def mass_left(p: Float32s, left: Float64s, elsewhere: float = 0.0) -> float:
    """Z, from p [M] and e^(-push) [M] of items, and the p of all others, which stay as they are."""
    return max(float(p @ left) + elsewhere, float(np.finfo(np.float32).tiny))


def standing(histories: Histories, now_us: Int64s) -> tuple[Int64s, Int32s, Float64s]:
    """Row, item and strength [D] of the dislikes that stand as of `now_us` [B], one for each pair, sorted by it."""
    against = histories.against
    if against is None or not len(against.item):
        return np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0)
    n = histories.n_items
    pair = against.row_of.astype(np.int64) * n + against.item
    strength = against.weights(now_us) * (1 - np.minimum(_taken_back(histories, against, pair), 1))
    pairs, place = np.unique(pair, return_inverse=True)
    total = np.bincount(place, weights=strength).astype(np.float64)
    return (pairs // n)[total > 0], (pairs % n)[total > 0].astype(np.int32), total[total > 0]


def who_dislikes(histories: Histories, now_us: Int64s) -> Iterator[tuple[int, Dislikes]]:
    """Rows, and their dislikes that stand as of `now_us` [B]."""
    row, item, strength = standing(histories, now_us)
    for start, end in zip(*_runs(row), strict=True):
        yield int(row[start]), Dislikes(item[start:end], strength[start:end])


def _runs(values: Int64s) -> tuple[list[int], list[int]]:
    start = np.flatnonzero(np.diff(values, prepend=-1))
    return start.tolist(), [*start[1:].tolist(), len(values)][: len(start)]


def _taken_back(histories: Histories, against: Histories, pair: Int64s) -> Float64s:
    """float64 [D]: how much was said for the same item by the same user after each dislike."""
    positive = histories.row_of.astype(np.int64) * histories.n_items + histories.item
    here = np.flatnonzero(np.isin(positive, pair))
    said = (
        np.ones(len(here))
        if histories.meaning is None
        else (histories.meaning.strength(histories.kind[here], histories.value[here]))
    )
    times = np.unique(np.concatenate([against.occurred_at, histories.occurred_at[here]]))
    names = np.unique(pair)

    def key(of: Int64s, at: Int64s) -> Int64s:
        return np.searchsorted(names, of) * len(times) + np.searchsorted(times, at)

    order = np.argsort(keys := key(positive[here], histories.occurred_at[here]), kind="stable")
    keys, before = keys[order], np.concatenate([[0.0], np.cumsum(said[order])])
    since = np.searchsorted(keys, key(pair, against.occurred_at), side="right")
    end = np.searchsorted(keys, (np.searchsorted(names, pair) + 1) * len(times))
    taken: Float64s = before[end] - before[since]
    return taken
