"""Memories from a snapshot's histories: which there are, and with which settings, is chosen by rule and on validation.

A memory's settings (recipe, decay, half-life) belong to the model and are kept; its counts belong to the revision and
are made anew from the newest events (`refit`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from scipy import sparse

from graph.arrays import Float32s, Int32s
from graph.histories import Histories, histories_of
from graph.memories.co_occurrence import co_occurrence
from graph.memories.ease import ease
from graph.memories.ease_factors import MAX_USERS
from graph.memories.incidence import MAX_HISTORY
from graph.memories.popularity import popularity
from graph.memories.transitions import transitions
from graph.memories.trend import trend
from graph.snapshot import Snapshot
from graph.storage.times import DAY_US
from training.evaluation.queries import Queries
from training.memories import ItemToItem, Memory, Repeats
from training.memories_ease import Ease, learn_ease
from training.memories_repeats import LearnedRepeats, learn_repeats
from training.mixture_net import strongest_of

M = TypeVar("M", bound=Memory)

RECIPES: dict[str, Callable[[Histories, int], sparse.csr_array]] = {
    "follows": lambda histories, keep: transitions(histories, keep=keep),
    "near": lambda histories, keep: transitions(histories, both_directions=True, keep=keep),
    "together": lambda histories, keep: co_occurrence(histories, keep=keep),
    "ease": lambda histories, keep: ease(histories, keep=keep),
}
FEW_RECIPES = ("follows", "ease")
"""Of long histories only these are counted: `near` and `together` cost a minute each there."""
MANY_PAIRS = 200_000_000
LARGE = 25_000
"""Items of a catalog of which memories keep less."""
DECAYS = (0.5, 0.7, 0.9, 0.97)
TREND_POWERS = (0.0, 0.25, 0.5, 1.0)
"""On groceries a root of the trend lifts EASE's NDCG@10 on new items by 10 %, also when the counts are a month old."""
EASE_HALF_LIVES = (4.0, None)
"""In windows; None: interest never fades."""
LOUDNESSES = (0.0, 0.5, 1.0)
"""How much of what kinds of events say a memory hears; looked at only where they do not all say the same."""
HALF_LIVES_DAYS = (30.0, 90.0, 180.0, None)
POPULARITY_HALF_LIVES_DAYS = (7.0, 30.0, 180.0, None)
QUERIES = 500
"""Validation users that choose a setting: differences that matter show in so many."""
UNIFORM = 1e-3
"""Share of popularity that is spread over all items, so that none is impossible."""


def refit(memories: Sequence[Memory], snapshot: Snapshot) -> tuple[Memory, ...]:
    """The same memories, counted anew from the snapshot's events."""
    histories = histories_of(snapshot)
    keep, group = kept(histories), item_group(snapshot)

    def counted(memory: Memory) -> Memory:
        if isinstance(memory, ItemToItem):
            rising = trend(histories, snapshot.as_of, round(memory.trend_days * DAY_US))
            return replace(memory, neighbours=RECIPES[memory.recipe](histories, keep), trend=rising)
        if isinstance(memory, Ease):
            return memory.recounted(histories, snapshot.as_of)
        return memory.recounted(histories, snapshot.as_of, group) if isinstance(memory, LearnedRepeats) else memory

    return tuple(counted(memory) for memory in memories)


def item_group(snapshot: Snapshot) -> Int32s:
    """int32 [V]: the first category of each item, -1 = none."""
    group = np.full(len(snapshot.items), -1, np.int32)
    item, category = snapshot.item_category[:, ::-1]
    group[item] = category
    return group


def by_factors(histories: Histories) -> bool:
    """Whether EASE is small enough to be kept whole: its factors have a column per user."""
    return int((histories.lengths > 0).sum()) <= min(MAX_USERS, len(np.unique(histories.item)))


def recipes_of(histories: Histories) -> list[str]:
    """What is counted from item to item."""
    pairs = (np.minimum(histories.lengths, MAX_HISTORY).astype(float) ** 2).sum()
    names = RECIPES if pairs < MANY_PAIRS else FEW_RECIPES
    return [name for name in names if name != "ease" or not by_factors(histories)]


def kept(histories: Histories) -> int:
    """Strongest neighbours of an item that a memory keeps: 1,000, of one of a large catalog 100.

    What an answer costs is the length of its rows. On Complete Journey (92,000 items) rows of 64 rank as well as rows
    of 357; in small catalogs the long ones are worth something, and cost nothing.
    """
    return 1_000 if histories.n_items <= LARGE else 100


def choose_memories(
    snapshot: Snapshot, queries: Queries, *, window_days: float, exclude_seen: bool
) -> tuple[Memory, ...]:
    """Memories counted from `snapshot`, each with the setting that ranks best by itself on some of the queries.

    Own items come back or they do not: where the protocol leaves them out, there is no memory of repeats. What speaks
    for other items is judged by the items new to the user.
    """
    histories = histories_of(snapshot)
    chosen: list[Memory] = []
    some = sample(queries, QUERIES)
    rising = trend(histories, snapshot.as_of, round(window_days * DAY_US))
    loudnesses = LOUDNESSES if len(np.unique(histories.weights(snapshot.as_of))) > 1 else LOUDNESSES[:1]
    for name in recipes_of(histories):
        memory = ItemToItem(name, DECAYS[0], name, RECIPES[name](histories, kept(histories)), rising, window_days)
        options = [replace(memory, decay=decay, loudness=loud) for loud in loudnesses for decay in DECAYS]
        memory = _best(options, some)
        chosen.append(_best([replace(memory, trend_power=power) for power in TREND_POWERS], some))
    if by_factors(histories):
        days = [half_life and half_life * window_days for half_life in EASE_HALF_LIVES]
        fading = [
            learn_ease(histories, snapshot.as_of, window_days, half_life, rising, loud)
            for loud in loudnesses
            for half_life in days
        ]
        chosen.append(_best([replace(m, trend_power=power) for m in fading for power in TREND_POWERS], some))
    if not exclude_seen:
        repeats: list[Memory] = [
            Repeats("repeats", half_life, loud) for loud in loudnesses for half_life in HALF_LIVES_DAYS
        ]
        learned = learn_repeats(histories, snapshot.as_of, window_days, item_group(snapshot))
        own: list[Memory] = [*repeats, learned] if learned else repeats
        chosen.append(max(own, key=lambda m: _quality(m, some, new_only=False)))
    return tuple(chosen)


def choose_popularity(histories: Histories, queries: Queries, now_us: int) -> float | None:
    """The half-life in days (None: no decay) under which what people did next was likeliest."""

    def likelihood(half_life: float | None) -> float:
        p = popular(histories, now_us, half_life)
        return float(np.log(p[queries.relevance.indices]).mean())

    return max(POPULARITY_HALF_LIVES_DAYS, key=likelihood)


def popular(histories: Histories, now_us: int, half_life_days: float | None) -> Float32s:
    """A distribution over the catalog without zeros, float32 [V]."""
    share = popularity(histories, now_us=now_us, half_life_days=half_life_days)
    uniform = np.float32(1 / max(1, len(share)))
    return (1 - UNIFORM) * share + UNIFORM * uniform if share.any() else np.full_like(share, uniform)


def ranking_quality(recalled: sparse.csr_array, queries: Queries, *, new_only: bool, k: int = 10) -> float:
    """Mean NDCG@k of a sparse recall by itself; `new_only` takes the user's own items out of ranking and relevance."""
    discount = 1 / np.log2(np.arange(k) + 2)
    gains = []
    own, relevance = queries.histories, queries.relevance
    seen, wanted = np.zeros(own.n_items, np.bool_), np.zeros(own.n_items, np.bool_)
    for row in range(len(own)):
        mine = own.item[own.offsets[row] : own.offsets[row + 1]]
        relevant = relevance.indices[relevance.indptr[row] : relevance.indptr[row + 1]]
        part = slice(recalled.indptr[row], recalled.indptr[row + 1])
        items, p = recalled.indices[part], recalled.data[part]
        seen[mine] = new_only
        wanted[relevant] = ~seen[relevant]
        if n_wanted := int(wanted[relevant].sum()):
            p = np.where(seen[items], 0, p)
            best = strongest_of(p, k)
            best = best[np.argsort(-p[best], kind="stable")]
            hit = wanted[items[best]] & (p[best] > 0)
            gains.append((hit * discount[: len(hit)]).sum() / discount[: min(k, n_wanted)].sum())
        seen[mine] = wanted[relevant] = False
    return float(np.mean(gains)) if gains else 0.0


def _best(options: Sequence[M], queries: Queries) -> M:
    return max(options, key=lambda option: _quality(option, queries, new_only=True))


def _quality(memory: Memory, queries: Queries, *, new_only: bool) -> float:
    return ranking_quality(memory.recall(queries.histories, queries.now_us), queries, new_only=new_only)


def sample(queries: Queries, n: int) -> Queries:
    """At most n of the queries, always the same ones."""
    if len(queries) <= n:
        return queries
    return queries.select(np.sort(np.random.default_rng(0).choice(len(queries), n, replace=False)))
