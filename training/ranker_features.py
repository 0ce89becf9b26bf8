"""What the ranker looks at: for each user a few hundred candidates, and some dozens of numbers about each.

candidates   the strongest items of the mixture, new ones and such as the user had, each kind for itself
features     what every source says and how high it ranks the item, how the item sells and since when, what its
             categories and its vector have in common with the user's last step and with the history, and the gate's
             features
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.stats import rankdata

from graph.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from graph.histories import Histories
from graph.memories.pace import Pace
from graph.ranges import offsets_of, places
from graph.sparse import Csr
from graph.taxonomy import ancestors_matrix
from training.mixture_net import strongest_of

NEW, HAD = 150, 50
"""Candidates of each kind. All else keeps the mixture's order behind them."""
SPANS_DAYS = (30.0, 90.0, 365.0, None)
LAST_EVENTS = 20
"""Of a history so many of the newest events tell what categories it is about."""
_LEAST = 1e-8


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Of V items: their pace, the net's vectors, float32 [V, dim] of unit length, and their categories up to the root,
    csr [V, C] of log(V / items in the category)."""

    pace: Pace
    vectors: Float32s
    categories: Csr

    @cached_property
    def norm(self) -> Float32s:
        """float32 [V]: length of each item's row of `categories`."""
        squares = np.asarray(self.categories.multiply(self.categories).sum(axis=1)).ravel()
        norm: Float32s = np.sqrt(np.maximum(squares, 1e-6)).astype(np.float32)
        return norm


def facts_of(pace: Pace, vectors: Float32s, item_category: Int32s, parent: Int32s) -> ItemFacts:
    """vectors: [V, dim]; item_category: int32 [2, m], pairs of item and category; parent: int32 [C], -1 = a root."""
    categories = ancestors_matrix(item_category, parent, pace.n_items).astype(np.float32)
    size = np.bincount(categories.indices, minlength=len(parent))
    categories.data = np.log(pace.n_items / np.maximum(size, 1)).astype(np.float32)[categories.indices]
    return ItemFacts(pace, vectors, categories)


@dataclass(frozen=True, eq=False)
class Candidates:
    """B users with C candidates each; `place` int64 [B, C]: columns of what they were chosen from."""

    place: Int64s
    had: Bools
    valid: Bools


def choose(p: Float32s, had: Bools) -> Candidates:
    """The strongest of p [B, M], NEW among those that the user did not have and HAD among those of the mask `had`."""
    new, own = min(NEW, p.shape[1]), min(HAD, p.shape[1])
    place = np.zeros((len(p), new + own), np.int64)
    for row, (one, mask) in enumerate(zip(p, had, strict=True)):  # row by row: what is sorted stays in the cache
        place[row, :new] = strongest_of(np.where(mask, -1, one), new)
        mine = np.flatnonzero(mask)
        best = mine[strongest_of(one[mine], own)]
        place[row, new : new + len(best)] = best
    is_had = np.broadcast_to(np.arange(new + own) >= new, place.shape)
    valid = (np.take_along_axis(had, place, axis=1) == is_had) & (np.take_along_axis(p, place, axis=1) > 0)
    valid[:, new:] &= np.arange(own) < had.sum(axis=1)[:, None]
    return Candidates(place, is_had, valid)


def feature_names(sources: tuple[str, ...]) -> tuple[str, ...]:
    """In the order of the columns; the gate's features of the user stand behind them."""
    spans = ("ever" if days is None else f"{days:g}d" for days in SPANS_DAYS)
    return (
        *(f"log_p_{name}" for name in sources),
        *(f"named_by_{name}" for name in sources[1:-1]),
        *(f"rank_{name}" for name in sources[:-1]),
        "log_p",
        "had",
        *(f"events_{span}" for span in spans),
        "idle",
        "age",
        "like_last",
        "like_history",
        "rarest_shared_with_last",
        "rarest_shared_with_history",
        "near_last",
        "near_history",
        "near_any",
    )


def features(
    p: Float32s,
    mixed: Float32s,
    items: Int64s,
    chosen: Candidates,
    histories: Histories,
    now_us: Int64s,
    facts: ItemFacts,
) -> Float32s:
    """[B, C, F] as `feature_names` has them. p: [B, C, S] by source; mixed: [B, C]; items: [B, C]."""
    now = np.broadcast_to(now_us[:, None], items.shape)
    columns = [np.log(np.maximum(p, _LEAST)), p[:, :, 1:-1] > 0]
    ranks = np.zeros((*items.shape, p.shape[2] - 1), np.float32)
    for kind in (chosen.had, ~chosen.had):  # each kind for itself: whether the other is asked for changes nothing
        among = np.where((kind & chosen.valid)[:, :, None], p[:, :, :-1], -1)
        ranks[kind] = (rankdata(-among, method="min", axis=1) - 1)[kind]
    columns += [np.log1p(ranks), np.log(np.maximum(mixed, _LEAST))[:, :, None], chosen.had[:, :, None]]
    columns.append(sales(facts.pace, items, now))
    recent = histories.last(LAST_EVENTS)
    columns += [_likeness(items, recent, facts), _nearness(items, recent, facts.vectors)]
    return np.concatenate(columns, axis=2, dtype=np.float32)


def sales(pace: Pace, items: Int64s, now_us: Int64s) -> Float32s:
    """[..., 6], of items and moments of one shape: logs of the events in each span, of the days since the last and the
    first."""
    counts = [pace.counts(items, now_us, days).astype(np.float32) for days in SPANS_DAYS]
    return np.log1p(np.stack([*counts, pace.idle_days(items, now_us), pace.age_days(items, now_us)], axis=-1))


def _likeness(items: Int64s, recent: Histories, facts: ItemFacts) -> Float32s:
    """[B, C, 4]: the cosine of each item's categories with the last step's and with the mean of the history's, and the
    weight of the rarest category that it shares with either."""
    n_users, n_candidates = items.shape
    user, event, is_last = recent.row_of, recent.item, in_last_step(recent)
    # One entry for each category of each candidate; candidate by candidate, so that `reduceat` sums over them.
    flat, lengths = items.ravel(), np.diff(facts.categories.indptr)
    entry = places(facts.categories.indptr[flat].astype(np.int64), lengths[flat])
    of_user = np.repeat(np.arange(n_users), lengths[items].sum(axis=1))
    category, weight = facts.categories.indices[entry], facts.categories.data[entry]
    found = []
    for chosen in (is_last, np.ones_like(is_last)):
        profile = _profile(user[chosen], event[chosen], n_users, facts)
        there = profile[of_user, category]
        cosine = _reduced(np.add, weight * there, lengths[flat]) / facts.norm[flat]
        found.append((cosine, _reduced(np.maximum, np.where(there > 0, weight, 0), lengths[flat])))
    (last, rarest_last), (history, rarest) = found
    return np.stack([last, history, rarest_last, rarest], axis=1).reshape(n_users, n_candidates, 4)


def _nearness(items: Int64s, recent: Histories, vectors: Float32s) -> Float32s:
    """[B, C, 3]: the mean cosine of each item's vector with those of the last step and of the history, the largest."""
    out = np.zeros((*items.shape, 3), np.float32)
    is_last = in_last_step(recent)
    # User by user: the vectors of all candidates at once would be 100 KB a user.
    for row, (begin, end) in enumerate(pairwise(recent.offsets)):
        if begin < end:
            cosine = vectors[items[row]] @ vectors[recent.item[begin:end]].T
            out[row, :, 0] = cosine[:, is_last[begin:end]].mean(axis=1)
            out[row, :, 1] = cosine.mean(axis=1)
            out[row, :, 2] = cosine.max(axis=1)
    return out


def in_last_step(histories: Histories) -> Bools:
    """bool [N]: which events belong to the last step of their row."""
    last: Bools = np.zeros(len(histories.item), np.bool_)
    if len(last):
        end = histories.step[np.maximum(histories.offsets[1:] - 1, 0)]
        last = histories.step == end[histories.row_of]
    return last


def _profile(user: Int32s, item: Int32s, n_users: int, facts: ItemFacts) -> Float32s:
    """[B, C]: the mean of the unit vectors of the items' categories."""
    size = np.maximum(np.bincount(user, minlength=n_users), 1)
    weight = (1 / (facts.norm[item] * size[user])).astype(np.float32)
    total = Csr((weight, (user, item)), shape=(n_users, facts.categories.shape[0])) @ facts.categories
    dense: Float32s = total.toarray()
    return dense


def _reduced(function: np.ufunc, values: Float32s, lengths: Int64s) -> Float32s:
    """The ufunc over each of the pieces of `values` that have those lengths, 0 over an empty one."""
    out = np.zeros(len(lengths), np.float32)
    there = lengths > 0
    if there.any():
        out[there] = function.reduceat(values, offsets_of(lengths)[:-1][there])
    return out


def with_users(x: Float32s, user: Float64s) -> Float32s:
    """[B, C, F + G]: the features of the user [B, G] beside those of each candidate."""
    beside = np.broadcast_to(user[:, None].astype(np.float32), (*x.shape[:2], user.shape[1]))
    return np.concatenate([x, beside], axis=2)
