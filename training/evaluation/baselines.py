"""What a model has to beat, by the same code on the same events: fit(snapshot of the column) -> Ranker.

Settings come from each method's own documentation or from validation data, none from a test window:
    popularity          all events; ties by what is recent
    recent popularity   the last 28 days
    own frequency       the user's own items, half-life 90 days; before them nothing but popularity
    item-kNN            cosine of users in common, history weight 0.9 a step back
    sequential rules    transitions up to 8 steps apart, 1/distance, history weight 0.6 a step back; forward, both ways
    EASE                λ = 200 over the 12,500 items with most users, at least 2; exact, negative weights included

Sparse answers leave most of the catalog level, and ties count against the target. So every dense score is the sparse
distribution plus 0.001 × popularity: a full ranking, in which what a method says itself keeps its order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Float32s, Int64s
from graph.histories import Histories, histories_of
from graph.memories.co_occurrence import co_occurrence
from graph.memories.ease import Inverse, fit_inverse
from graph.memories.incidence import users_by_items
from graph.memories.own_frequency import own_frequency
from graph.memories.popularity import popularity
from graph.memories.recall import recall
from graph.memories.transitions import transitions
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError

TIE_BREAK = np.float32(1e-3)
RECENT_DAYS = 28.0
OWN_HALF_LIFE_DAYS = 90.0


class Ranker(Protocol):
    """Scores the whole catalog for users given by their histories."""

    @property
    def name(self) -> str: ...

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        """float32 `[B, V]`, finite, higher is better; `now_us` int64 `[B]`."""
        ...


Recall = Callable[[Histories, Int64s], csr_array]


@dataclass(frozen=True)
class Popular:
    """The same ranking for everybody. share: float32 `[V]`."""

    name: str
    share: Float32s

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        return np.tile(self.share, (len(histories), 1))


@dataclass(frozen=True)
class Recalled:
    """A memory's distribution, then popularity."""

    name: str
    recall: Recall
    share: Float32s

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        dense: Float32s = self.recall(histories, now_us).toarray()
        dense += TIE_BREAK * self.share
        return dense


def fit_popularity(snapshot: Snapshot) -> Ranker:
    return Popular("popularity", _popular(snapshot))


def fit_recent_popularity(snapshot: Snapshot) -> Ranker:
    recent = popularity(histories_of(snapshot), now_us=snapshot.as_of, window_days=RECENT_DAYS)
    return Popular("recent popularity", recent + TIE_BREAK * _popular(snapshot))


def fit_own_frequency(snapshot: Snapshot) -> Ranker:
    def own(histories: Histories, now_us: Int64s) -> csr_array:
        return own_frequency(histories, now_us, half_life_days=OWN_HALF_LIFE_DAYS)

    return Recalled("own frequency", own, _popular(snapshot))


def fit_item_knn(snapshot: Snapshot) -> Ranker:
    return _item_to_item("item-kNN", co_occurrence(histories_of(snapshot)), 0.9, snapshot)


def fit_sequential_rules(snapshot: Snapshot) -> Ranker:
    return _item_to_item("sequential rules", transitions(histories_of(snapshot)), 0.6, snapshot)


def fit_two_way_rules(snapshot: Snapshot) -> Ranker:
    memory = transitions(histories_of(snapshot), both_directions=True)
    return _item_to_item("sequential rules, both ways", memory, 0.6, snapshot)


@dataclass(frozen=True)
class Ease:
    """Exact EASE, negative weights included; items that it does not cover come last, by popularity."""

    name: str
    inverse: Inverse | None
    share: Float32s

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        dense = np.tile(TIE_BREAK * self.share, (len(histories), 1))
        if self.inverse is not None:
            own = self.inverse.scores(users_by_items(histories))
            dense -= 1 - own.min(axis=1, initial=0, keepdims=True)  # user by user: nobody's scores hang on the others
            dense[:, self.inverse.items] = own
        return dense


def fit_ease(snapshot: Snapshot) -> Ranker:
    inverse = fit_inverse(histories_of(snapshot), l2=200.0, min_users=2, max_items=12_500)
    return Ease("EASE", inverse, _popular(snapshot))


BASELINES: dict[str, Callable[[Snapshot], Ranker]] = {
    "popularity": fit_popularity,
    "recent-popularity": fit_recent_popularity,
    "own-frequency": fit_own_frequency,
    "item-knn": fit_item_knn,
    "sequential-rules": fit_sequential_rules,
    "two-way-rules": fit_two_way_rules,
    "ease": fit_ease,
}


def require_baselines(names: Sequence[str]) -> None:
    """BadInputError for a name that no baseline has."""
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise BadInputError(f"No baseline is called {unknown[0]!r}.", hint=f"There are {', '.join(BASELINES)}.")


def fitted_baselines(
    names: Sequence[str], column: str, events: Snapshot, stage: Callable[[str], None]
) -> Iterator[Ranker]:
    """One alive at a time: of a large catalog not all fit beside each other. `stage` is told which comes."""
    for name in names:
        stage(f"{name}, {column}")
        yield BASELINES[name](events)


DEFAULT_BASELINES = tuple(name for name in BASELINES if name != "two-way-rules")
"""Rules both ways cost as much again and are close to the forward ones; they are there for those who ask."""


def _item_to_item(name: str, memory: csr_array, decay: float, snapshot: Snapshot) -> Ranker:
    return Recalled(name, lambda histories, now_us: recall(memory, histories, decay=decay), _popular(snapshot))


def _popular(snapshot: Snapshot) -> Float32s:
    """Share of all events, ties broken by the decayed share."""
    histories = histories_of(snapshot)
    share = popularity(histories, now_us=snapshot.as_of)
    return share + TIE_BREAK * popularity(histories, now_us=snapshot.as_of, half_life_days=RECENT_DAYS)
