"""The whole model: p(next item) = Σ_k g_k · p_k over the net, the memories and what is popular.

    history ─┬─ net        softmax over the catalog          p_net
             ├─ memories   sparse recalls, one a source      p_follows, p_repeats, …
             ├─ popularity the same for everybody            p_popularity
             └─ features of all these ─ gate ─ weights g that sum to 1

Evaluation asks for `scores` (dense), serving for `rank` and `explain` (one user). Who has no history gets popularity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graph.arrays import Bools, Float32s, Float64s, Int64s
from graph.histories import Histories
from training.gate import Gate
from training.memories import Memory
from training.mixture_net import EXACT_ITEMS, NEAREST, Nearest, NetSource, strongest_of

NET, POPULARITY = "net", "popularity"
UNION = 1_000
"""Strongest items of each source that `rank` looks at where ranking the whole catalog is too dear."""

_LEAST = np.finfo(np.float32).tiny
_CHUNK_CELLS = 50_000_000


@dataclass(frozen=True)
class Ranking:
    """`items` [k] best first, `log_probability` [k], `contributions` [k, S]: g_k · p_k by source, summing to p."""

    items: Int64s
    log_probability: Float32s
    contributions: Float32s


@dataclass(frozen=True)
class Evidence:
    """What each source says about B users, before it is mixed. `net` is p_net [B, V]."""

    net: Float32s
    recalled: tuple[sparse.csr_array, ...]
    weights: Float32s


@dataclass(frozen=True)
class Mixture:
    """`popularity` float32 [V], a distribution without zeros."""

    name: ClassVar[str] = "penchant"
    net: NetSource
    memories: tuple[Memory, ...]
    popularity: Float32s
    gate: Gate

    @property
    def sources(self) -> tuple[str, ...]:
        return NET, *(memory.name for memory in self.memories), POPULARITY

    def with_gate(self, gate: Gate) -> "Mixture":
        return replace(self, gate=gate)

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        """log p(next item), float32 [B, V]: the exact form that everything else is tested against."""
        chunk = max(1, _CHUNK_CELLS // max(1, len(self.popularity)))
        if not len(histories):
            return np.zeros((0, len(self.popularity)), np.float32)
        pieces = np.array_split(np.arange(len(histories)), -(-len(histories) // chunk))
        parts = [self._scores(histories.select(rows), now_us[rows]) for rows in pieces]
        return np.concatenate(parts)

    def rank(
        self,
        history: Histories,
        now_us: int,
        k: int,
        *,
        allowed: Bools | None = None,
        nearest: Nearest | None = None,
        exact: bool | None = None,
    ) -> Ranking:
        """The k most probable items of one user (a Histories of one row), fewer only if fewer are `allowed` [V].

        exact: rank the whole catalog; default up to EXACT_ITEMS. Otherwise the union of the `nearest` items and each
        memory's strongest is ranked, and the whole catalog only if the union holds fewer than k allowed items.
        """
        exact = len(self.popularity) <= EXACT_ITEMS if exact is None else exact
        user = self.net.users(history)
        recalled = self._recall(history, np.array([now_us]))
        if exact:
            return self._rank_all(history, user, recalled, k, allowed)
        near = np.unique((nearest or self.net.nearest)(user[0], NEAREST))
        strong = [r.indices[strongest_of(r.data, UNION)] for r in recalled]
        candidates = np.unique(np.concatenate([near, *strong, self._popular]))
        if allowed is not None:
            candidates = candidates[allowed[candidates]]
        if len(candidates) < k and (allowed is None or int(allowed.sum()) > len(candidates)):
            return self._rank_all(history, user, recalled, k, allowed)
        log_z = self.net.log_normaliser(user, near)
        strongest = np.exp(self.net.logits(user, near).max() - log_z)
        weights = self._weigh(history, recalled, np.array([strongest]))
        p_net = np.exp(self.net.logits(user, candidates)[0] - log_z)
        return _best(candidates, self._contributions(candidates, p_net, recalled, weights[0]), k)

    def explain(self, history: Histories, now_us: int, items: NDArray[np.integer[Any]]) -> Float32s:
        """g_k · p_k of one user for some `items` [n], by source: float32 [n, S]; their sum is the probability."""
        user = self.net.users(history)
        recalled = self._recall(history, np.array([now_us]))
        if len(self.popularity) <= EXACT_ITEMS:
            p_net = self.net.probabilities(user)[0]
            return self._contributions(
                items, p_net[items], recalled, self._weigh(history, recalled, p_net.max()[None])[0]
            )
        near = self.net.nearest(user[0], NEAREST)
        log_z = self.net.log_normaliser(user, near)
        weights = self._weigh(history, recalled, np.exp(self.net.logits(user, near).max() - log_z)[None])
        return self._contributions(items, np.exp(self.net.logits(user, items)[0] - log_z), recalled, weights[0])

    def evidence(self, histories: Histories, now_us: Int64s) -> Evidence:
        """What the gate is fitted on: the sources, and the weights that it gives them now."""
        net = self.net.probabilities(self.net.users(histories))
        recalled = self._recall(histories, now_us)
        return Evidence(net, recalled, self._weigh(histories, recalled, net.max(axis=1)))

    def _scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        evidence = self.evidence(histories, now_us)
        return np.log(np.maximum(mix(evidence.net, evidence.recalled, self.popularity, evidence.weights), _LEAST))

    def _rank_all(
        self,
        history: Histories,
        user: Float32s,
        recalled: tuple[sparse.csr_array, ...],
        k: int,
        allowed: Bools | None,
    ) -> Ranking:
        p_net = self.net.probabilities(user)
        weights = self._weigh(history, recalled, p_net.max(axis=1))
        p = mix(p_net.copy(), recalled, self.popularity, weights)[0]
        if allowed is not None:
            p[~allowed] = -1
        best = strongest_of(p, k)
        best = best[p[best] >= 0]
        return _best(best, self._contributions(best, p_net[0, best], recalled, weights[0]), k)

    def _recall(self, histories: Histories, now_us: Int64s) -> tuple[sparse.csr_array, ...]:
        return tuple(memory.recall(histories, now_us) for memory in self.memories)

    def _weigh(self, histories: Histories, recalled: Sequence[sparse.csr_array], strongest: NDArray[Any]) -> Float32s:
        return self.gate(features_of(histories, recalled, strongest), speaks_of(histories, recalled))

    def _contributions(
        self,
        items: NDArray[np.integer[Any]],
        p_net: NDArray[Any],
        recalled: Sequence[sparse.csr_array],
        weights: Float32s,
    ) -> Float32s:
        columns = [p_net, *(values_at(r, items) for r in recalled), self.popularity[items]]
        return (np.stack(columns, axis=1) * weights).astype(np.float32)

    @cached_property
    def _popular(self) -> Int64s:
        return strongest_of(self.popularity, UNION)


def mix(net: Float32s, recalled: Sequence[sparse.csr_array], popularity: Float32s, weights: Float32s) -> Float32s:
    """Σ_k g_k · p_k, [B, V]; overwrites `net`."""
    p = net
    p *= weights[:, :1]
    p += weights[:, -1:] * popularity
    flat, width = p.reshape(-1), p.shape[1]
    for k, memory in enumerate(recalled, start=1):
        row = np.repeat(np.arange(len(p)), np.diff(memory.indptr))
        flat[row * width + memory.indices] += weights[row, k] * memory.data
    return p


def features_of(histories: Histories, recalled: Sequence[sparse.csr_array], strongest_net: NDArray[Any]) -> Float64s:
    """What the gate looks at, [B, 2 + 2 · memories]: the logs of the history's length, of the net's strongest
    probability, and for each memory of how many items it recalls and of the strongest probability among them."""
    columns = [np.log1p(histories.lengths), np.log(np.maximum(strongest_net, 1e-9))]
    for memory in recalled:
        columns += [np.log1p(np.diff(memory.indptr)), np.log(np.maximum(_row_max(memory), 1e-4))]
    return np.stack(columns, axis=1).astype(np.float64)


def speaks_of(histories: Histories, recalled: Sequence[sparse.csr_array]) -> Bools:
    """[B, S]: which sources have anything to say; the net only of users who did something, popularity always."""
    known = histories.lengths > 0
    return np.stack([known, *(np.diff(memory.indptr) > 0 for memory in recalled), np.ones_like(known)], axis=1)


def values_at(recalled: sparse.csr_array, items: NDArray[np.integer[Any]]) -> Float32s:
    """Row 0 of a recall at `items` [n], 0 where it has none. A recall never names an item twice."""
    order = np.argsort(recalled.indices)
    known = recalled.indices[order]
    if not len(known):
        return np.zeros(len(items), np.float32)
    place = np.minimum(np.searchsorted(known, items), len(known) - 1)
    return np.where(known[place] == items, recalled.data[order[place]], 0).astype(np.float32)


def _row_max(matrix: sparse.csr_array) -> NDArray[Any]:
    filled = np.diff(matrix.indptr) > 0
    strongest = np.zeros(len(filled), np.float32)
    if matrix.nnz:
        strongest[filled] = np.maximum.reduceat(matrix.data, matrix.indptr[:-1][filled])
    return strongest


def _best(items: NDArray[np.integer[Any]], contributions: Float32s, k: int) -> Ranking:
    p = contributions.sum(axis=1)
    order = np.lexsort((items, -p))[:k]
    log_p = np.log(np.maximum(p[order], _LEAST)).astype(np.float32)
    return Ranking(np.asarray(items[order], np.int64), log_p, contributions[order])
