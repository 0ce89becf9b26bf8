"""The whole model: p(next item) = Σ_k g_k · p_k over the net, the memories and what is popular, then put in order.

    history ─┬─ net        softmax over the catalog          p_net
             ├─ memories   sparse recalls, one a source      p_follows, p_repeats, …
             ├─ popularity the same for everybody            p_popularity
             ├─ features of all these ─ gate ─ weights g that sum to 1
             ├─ features of the strongest items ─ ranker ─ a factor on each p, after which Σ p is 1 again
             ├─ the same of the newest events alone ─ recency ─ a share λ of p
             └─ what the user dislikes ─ aversion ─ a factor on each p, likewise

This is what the answer is, item by item of the whole catalog, and what evaluation asks for (`scores`). Serving asks
`training/fast` for the same. Who has no history gets popularity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graph.arrays import Bools, Float32s, Float64s, Int64s
from graph.histories import Histories
from training.aversion import NEAR, averted
from training.gate import Gate
from training.memories import Memory
from training.mixture_net import NetSource, UsersFrom
from training.ranker import Ranker, tilted
from training.ranker_features import ItemFacts, feature_names
from training.recency import ALIKE, NEWEST, Recency

NET, POPULARITY = "net", "popularity"

_LEAST = np.finfo(np.float32).tiny
_CHUNK_CELLS = 25_000_000


@dataclass(frozen=True)
class Ranking:
    """`items` [k] best first, `log_probability` [k], `contributions` [k, S]: what each source adds to p."""

    items: Int64s
    log_probability: Float32s
    contributions: Float32s


@dataclass(frozen=True)
class Evidence:
    """What each source says about B users, before it is mixed. `net` is p_net [B, V]; `features` [B, G], the gate's."""

    net: Float32s
    recalled: tuple[sparse.csr_array, ...]
    features: Float64s
    weights: Float32s


Part = tuple[np.float32, Float32s, Evidence]
"""(share of p, p [V] of one user by itself, what that is made of)"""


@dataclass(frozen=True)
class Mixture:
    """`popularity` float32 [V], a distribution without zeros."""

    name: ClassVar[str] = "penchant"
    net: NetSource
    memories: tuple[Memory, ...]
    popularity: Float32s
    gate: Gate
    facts: ItemFacts
    ranker: Ranker | None = None
    """None: the order is the mixture's own."""
    near: float = NEAR
    """How far a dislike reaches to items that are like its own."""
    recency: Recency = ALIKE

    @property
    def sources(self) -> tuple[str, ...]:
        return sources_of(self.memories)

    def with_gate(self, gate: Gate) -> "Mixture":
        return replace(self, gate=gate)

    def with_near(self, near: float) -> "Mixture":
        return replace(self, near=near)

    def with_recency(self, recency: Recency) -> "Mixture":
        return replace(self, recency=recency)

    def with_users_from(self, elsewhere: UsersFrom) -> "Mixture":
        """See NetSource."""
        return replace(self, net=replace(self.net, elsewhere=elsewhere))

    def with_ranker(self, ranker: Ranker | None) -> "Mixture":
        return replace(self, ranker=ranker)

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        """log p(next item), float32 [B, V]: the exact form that everything else is tested against."""
        pieces = pieces_of(len(histories), len(self.popularity))
        parts = [self._probabilities(histories.select(rows), now_us[rows]) for rows in pieces]
        return np.log(np.maximum(np.concatenate(parts), _LEAST))

    def explain(self, history: Histories, now_us: int, items: NDArray[np.integer[Any]]) -> Float32s:
        """What each source adds to p of one user, for some `items` [n]: float32 [n, S]; the sum is the probability.

        The exact form, as `scores` is: what serving says (`training/fast`) is tested against it.
        """
        p, parts = self._exactly(history, now_us)
        return _summing_to(p[items], self._parts_at(items, parts))

    def evidence(self, histories: Histories, now_us: Int64s, *, personal: bool = False) -> Evidence:
        """What the gate is fitted on: the sources, and the weights that it gives them now.

        personal: popularity has no say, for what it has to say is said already.
        """
        net = self.net.probabilities(self.net.users(histories))
        return self._weighed(histories, self._recall(histories, now_us), net, personal=personal)

    def _weighed(
        self, histories: Histories, recalled: tuple[sparse.csr_array, ...], net: Float32s, *, personal: bool = False
    ) -> Evidence:
        """net: p_net [B, any]; its largest is looked at."""
        features = features_of(histories, recalled, net.max(axis=1))
        speaks = speaks_of(histories, recalled)
        if personal:
            speaks[:, -1] = ~speaks[:, :-1].any(axis=1)
        return Evidence(net, recalled, features, self.gate(features, speaks))

    def _probabilities(self, histories: Histories, now_us: Int64s) -> Float32s:
        """p [B, V]"""
        p = self.turned(histories, now_us)
        return averted(p, histories, now_us, self.net.likeness, self.near)

    def turned(self, histories: Histories, now_us: Int64s) -> Float32s:
        """p [B, V] before dislikes are seen."""
        p, _ = self.ordered(histories, now_us)
        share = self.recency(histories, now_us, self.net.likeness)
        if len(some := np.flatnonzero(share)):
            newest, _ = self.ordered(histories.select(some).last(NEWEST), now_us[some], personal=True)
            p[some] += share[some, None].astype(np.float32) * (newest - p[some])
        return p

    def _exactly(self, history: Histories, now_us: int) -> tuple[Float32s, list[Part]]:
        """p [V] of one user, and the parts that it is made of."""
        now, parts = np.array([now_us]), []
        for number, (share, events) in enumerate(self._looked_at(history, now_us)):
            p, evidence = self.ordered(events, now, personal=number > 0)
            parts.append((share, p[0], evidence))
        p = np.sum([share * part for share, part, _ in parts], axis=0, dtype=np.float32)
        return averted(p[None], history, now, self.net.likeness, self.near)[0], parts

    def _looked_at(self, history: Histories, now_us: int) -> list[tuple[np.float32, Histories]]:
        """The whole history of one user and, where they count by themselves, its newest events, with their shares."""
        share = np.float32(self.recency(history, np.array([now_us]), self.net.likeness)[0])
        return [(1 - share, history), *([(share, history.last(NEWEST))] if share else [])]

    def _parts_at(self, items: NDArray[np.integer[Any]], parts: list[Part]) -> Float32s:
        """What each source adds to p of one user before dislikes are seen, [n, S]."""
        shares = [
            share * _summing_to(p[items], self._by_source(items, evidence.net[0, items], evidence) * evidence.weights)
            for share, p, evidence in parts
        ]
        total: Float32s = np.sum(shares, axis=0, dtype=np.float32)
        return total

    def ordered(self, histories: Histories, now_us: Int64s, *, personal: bool = False) -> tuple[Float32s, Evidence]:
        """p [B, V] of all that is in the histories, in order, and what it is made of."""
        p, evidence = self.mixed(histories, now_us, personal=personal)
        if self.ranker is None:
            return p, evidence
        of_items, user = partial(self.at_candidates, evidence), evidence.features
        return tilted(self.ranker, self.facts, p, of_items, histories, now_us, user).apply(p), evidence

    def mixed(self, histories: Histories, now_us: Int64s, *, personal: bool = False) -> tuple[Float32s, Evidence]:
        """p [B, V] before it is put in order, and what it is made of."""
        evidence = self.evidence(histories, now_us, personal=personal)
        return mix(evidence.net.copy(), evidence.recalled, self.popularity, evidence.weights), evidence

    def at_candidates(self, evidence: Evidence, items: Int64s) -> Float32s:
        """p_k of each source at items [B, C] of the whole catalog: [B, C, S]."""
        return self._by_source(items, np.take_along_axis(evidence.net, items, axis=1), evidence)

    def _by_source(self, items: NDArray[np.integer[Any]], p_net: Float32s, evidence: Evidence) -> Float32s:
        """p_k of each source at some items: [n] of one user -> [n, S]; [B, C] -> [B, C, S]."""
        columns = [p_net, *(values_at(recalled, items) for recalled in evidence.recalled), self.popularity[items]]
        return np.stack(columns, axis=-1).astype(np.float32)

    def _recall(self, histories: Histories, now_us: Int64s) -> tuple[sparse.csr_array, ...]:
        return tuple(memory.recall(histories, now_us) for memory in self.memories)


def sources_of(memories: Sequence[Memory]) -> tuple[str, ...]:
    """What the columns of everything by source are called."""
    return NET, *(memory.name for memory in memories), POPULARITY


def pieces_of(n: int, n_items: int) -> list[Int64s]:
    """0 … n - 1 in pieces for which a dense array over all items stays small; one empty piece where n is 0."""
    return np.array_split(np.arange(n), max(1, -(-n * n_items // _CHUNK_CELLS)))


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


def gate_features(sources: tuple[str, ...]) -> tuple[str, ...]:
    """What the columns of `features_of` are called."""
    of_memories = (f"user_{what}_{name}" for name in sources[1:-1] for what in ("named_by", "strongest"))
    return "user_history", "user_strongest_net", *of_memories


def ranker_features(sources: tuple[str, ...]) -> tuple[str, ...]:
    """What a ranker over these sources reads, in the order of its columns."""
    return *feature_names(sources), *gate_features(sources)


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
    """What each row of a recall [B, V] has at its items [B, C] (or of one row [n]), 0 where it does not name them."""
    rows = np.atleast_2d(items)
    found = np.empty(rows.shape, np.float32)
    whole = np.zeros(recalled.shape[1], np.float32)
    for row, wanted in enumerate(rows):
        part = slice(recalled.indptr[row], recalled.indptr[row + 1])
        whole[recalled.indices[part]] = recalled.data[part]
        found[row] = whole[wanted]
        whole[recalled.indices[part]] = 0
    return found.reshape(items.shape)


def _summing_to(p: Float32s, shares: Float32s) -> Float32s:
    """The shares [n, S] in the same proportions, so that they sum to p [n]."""
    total = np.maximum(shares.sum(axis=1), _LEAST)
    scaled: Float32s = (shares * (p / total)[:, None]).astype(np.float32)
    return scaled


def _row_max(matrix: sparse.csr_array) -> NDArray[Any]:
    filled = np.diff(matrix.indptr) > 0
    strongest = np.zeros(len(filled), np.float32)
    if matrix.nnz:
        strongest[filled] = np.maximum.reduceat(matrix.data, matrix.indptr[:-1][filled])
    return strongest


def best_of(items: NDArray[np.integer[Any]], contributions: Float32s, k: int) -> Ranking:
    """The k of some items [n] to which the sources [n, S] together add most."""
    order = best_first(items, contributions)[:k]
    return ranking_of(items[order], contributions[order])


def best_first(items: NDArray[np.integer[Any]], contributions: Float32s) -> Int64s:
    """The places of items [n], the most probable first, of equal ones the lower index."""
    order: Int64s = np.lexsort((items, -contributions.sum(axis=1)))
    return order


def ranking_of(items: NDArray[np.integer[Any]], contributions: Float32s) -> Ranking:
    """Of items in the order of their probability."""
    log_p = np.log(np.maximum(contributions.sum(axis=1), _LEAST)).astype(np.float32)
    return Ranking(items.astype(np.int64), log_p, contributions)
