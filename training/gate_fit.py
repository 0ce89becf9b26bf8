"""The gate is fitted after the net, on validation queries, for ranking.

1. Softmax cross-entropy of the relevant items among each query's candidates (the strongest of every source), over all
   items and again over items new to the user: the one tells repeats from news, the other orders the news.
2. From there, and from equal weights, the bias of each source is moved up and down as long as NDCG@10 of both
   rankings rises, for that is what counts; the better of the two ends is kept.
3. Whether features of the user may speak is judged by halves: they must rank the half that did not teach them better
   than a gate without them does, beyond doubt. What they learn of a thousand users is often true of these alone.

Deterministic: full batches, no random numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graph.arrays import Bools, Float32s, Float64s, Int64s
from graph.histories import Histories
from training.evaluation.queries import Queries
from training.gate import Gate
from training.mixture import Evidence, Mixture, features_of, pieces_of, speaks_of
from training.mixture_net import strongest_of

STRONGEST = 100
"""Items of each source that become candidates of a query."""
L2 = 1e-3
STEPS = (4.0, 2.0, 1.0, 0.5, 4.0, 2.0, 1.0, 0.5, 0.25)
K = 10
BEYOND_DOUBT = 2.0
"""Standard errors."""
FEW = 20
"""Of fewer queries nothing can be learned by halves."""
LIKELIHOOD = 0.002
"""A nat of cross-entropy weighs as much as 0.2 % of NDCG: of gates that rank alike the likelier one is kept."""


@dataclass(frozen=True)
class Candidates:
    """Q queries with C candidates each, padded with p = 0.

    `p` [Q, C, S] by source; `relevant`, `new` bool [Q, C]; `features` [Q, F]; `speaks` bool [Q, S];
    `n_relevant`, `n_new` [Q]: how many relevant items a query has, in all and among those new to the user.
    """

    p: Tensor
    relevant: Tensor
    new: Tensor
    features: Float64s
    speaks: Bools
    n_relevant: Tensor
    n_new: Tensor

    def select(self, rows: Bools) -> "Candidates":
        """The queries of a mask [Q]."""
        chosen = torch.from_numpy(rows)
        return Candidates(
            self.p[chosen],
            self.relevant[chosen],
            self.new[chosen],
            self.features[rows],
            self.speaks[rows],
            self.n_relevant[chosen],
            self.n_new[chosen],
        )


def neutral_gate(sources: tuple[str, ...], n_features: int) -> Gate:
    """Equal weights for all that speak: what fitting starts from."""
    s = len(sources)
    return Gate(sources, np.zeros((n_features, s)), np.zeros(s), np.zeros(n_features), np.ones(n_features))


def fit_gate(
    mixture: Mixture,
    queries: Queries,
    *,
    exclude_seen: bool,
    by_features: bool = True,
    progress: Callable[[int, int | None], None] | None = None,
) -> Gate:
    """The gate of `mixture`, whose net and memories must know nothing of what the queries ask.

    exclude_seen: rank only what is new to the user, for data in which nobody comes back to an item.
    by_features: sources may weigh differently for different users, where that helps users who did not teach it.
    """
    data = collect(mixture, queries, progress=progress)
    alike = replace(data, features=np.zeros_like(data.features))  # a feature that never moves earns no weight

    def fit(some: Candidates) -> Gate:
        return _fit(mixture.sources, some, _objectives(some, exclude_seen=exclude_seen))

    if not by_features or len(data.features) < FEW:
        return fit(alike)
    gate = fit(data)
    if not gate.weight.any() or _is_true_of_others(fit, data, alike, exclude_seen=exclude_seen):
        return gate
    return fit(alike)


def _is_true_of_others(
    fit: Callable[[Candidates], Gate], data: Candidates, alike: Candidates, *, exclude_seen: bool
) -> bool:
    """Whether what features teach on each half of the queries ranks the other half better, beyond doubt."""

    def judged(some: Candidates, taught: Bools) -> list[Tensor]:
        gate, others = fit(some.select(taught)), some.select(~taught)
        p = _mixed(gate, others)
        return [ndcgs(p, objective) for objective in _objectives(others, exclude_seen=exclude_seen)]

    gain, variance = 0.0, 0.0
    second = np.arange(len(data.features)) % 2 == 1
    for taught in (second, ~second):
        for one, other in zip(judged(data, taught), judged(alike, taught), strict=True):
            level, difference = max(float(other.mean()), 1e-9), one - other
            gain += float(difference.mean()) / level
            variance += float(difference.var()) / len(difference) / level**2
    return gain > BEYOND_DOUBT * float(np.sqrt(variance))


def _fit(sources: tuple[str, ...], data: Candidates, objectives: "list[Objective]") -> Gate:
    """The better end of two ways: from equal weights, and from where cross-entropy is least."""
    mean, scale = data.features.mean(axis=0), data.features.std(axis=0)
    gate = replace(neutral_gate(sources, len(mean)), mean=mean, scale=np.where(scale > 1e-6, scale, 1.0))
    starts = (gate, _by_cross_entropy(gate, data, objectives))
    fitted = [_by_ndcg(start, data, objectives) for start in starts]
    return max(fitted, key=lambda one: _quality(one, data, objectives))


def collect(
    mixture: Mixture,
    queries: Queries,
    *,
    progress: Callable[[int, int | None], None] | None = None,
) -> Candidates:
    n, n_items = len(queries), len(mixture.popularity)
    popular = strongest_of(mixture.popularity, STRONGEST)
    rows: list[_Query] = []
    features, speaks = [], []
    offsets, relevant_items = queries.relevance.indptr, queries.relevance.indices
    for part in pieces_of(n, n_items):
        histories = queries.histories.select(part)
        evidence = mixture.evidence(histories, queries.now_us[part])
        features.append(features_of(histories, evidence.recalled, evidence.net.max(axis=1)))
        speaks.append(speaks_of(histories, evidence.recalled))
        for row, query in enumerate(part):
            relevant = relevant_items[offsets[query] : offsets[query + 1]]
            rows.append(_query(mixture, evidence, histories, row, relevant, popular))
        if progress:
            progress(len(rows), n)
    return _padded(rows, np.concatenate(features), np.concatenate(speaks), len(mixture.sources))


@dataclass(frozen=True)
class _Query:
    p: Float32s
    relevant: Bools
    new: Bools


def _query(
    mixture: Mixture, evidence: Evidence, histories: Histories, row: int, relevant: NDArray[np.integer], popular: Int64s
) -> _Query:
    net = evidence.net[row]
    candidates = [relevant, popular, strongest_of(net, STRONGEST)]
    recalls = []
    for memory in evidence.recalled:
        part = slice(memory.indptr[row], memory.indptr[row + 1])
        items, p = memory.indices[part], memory.data[part]
        recalls.append((items, p))
        candidates.append(items[strongest_of(p, STRONGEST)])
    items = np.unique(np.concatenate(candidates))
    columns = [net[items]]
    dense = np.zeros(len(net), np.float32)
    for recalled, p in recalls:
        dense[recalled] = p
        columns.append(dense[items])
        dense[recalled] = 0
    columns.append(mixture.popularity[items])
    own = histories.item[histories.offsets[row] : histories.offsets[row + 1]]
    return _Query(np.stack(columns, axis=1), np.isin(items, relevant), ~np.isin(items, own))


def _padded(rows: list[_Query], features: Float64s, speaks: Bools, n_sources: int) -> Candidates:
    width = max(len(row.p) for row in rows)
    p = torch.zeros(len(rows), width, n_sources)
    relevant, new = torch.zeros(len(rows), width, dtype=torch.bool), torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        p[number, : len(row.p)] = torch.from_numpy(row.p)
        relevant[number, : len(row.p)] = torch.from_numpy(row.relevant)
        new[number, : len(row.p)] = torch.from_numpy(row.new)
    return Candidates(p, relevant, new, features, speaks, relevant.sum(dim=1), (relevant & new).sum(dim=1))


@dataclass(frozen=True)
class Objective:
    """One ranking: which candidates take part, and the queries that have a relevant item among them."""

    allowed: Tensor
    relevant: Tensor
    queries: Tensor


def _objectives(data: Candidates, *, exclude_seen: bool) -> list[Objective]:
    filled = data.p.sum(dim=2) > 0
    of_new = Objective(data.new & filled, data.relevant & data.new, (data.n_new > 0).nonzero().squeeze(1))
    of_all = Objective(filled, data.relevant, (data.n_relevant > 0).nonzero().squeeze(1))
    wanted = [of_new] if exclude_seen else [of_all, of_new]
    return [objective for objective in wanted if len(objective.queries)]


def _weights(gate: Gate, features: Tensor, speaks: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return ((features @ weight) + bias).masked_fill(~speaks, -torch.inf).softmax(dim=1)


def _by_cross_entropy(gate: Gate, data: Candidates, objectives: list[Objective]) -> Gate:
    features = torch.from_numpy((data.features - gate.mean) / gate.scale).float()
    speaks = torch.from_numpy(data.speaks)
    weight = torch.zeros(gate.weight.shape, requires_grad=True)
    bias = torch.zeros(len(gate.bias), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        p = torch.bmm(data.p, _weights(gate, features, speaks, weight, bias).unsqueeze(2)).squeeze(2)
        loss = sum((_cross_entropy(p, objective) for objective in objectives), L2 * (weight**2).sum())
        loss.backward()  # type: ignore[no-untyped-call]  # torch has no types there
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]  # torch has no types there
    return replace(gate, weight=weight.detach().numpy().astype(float), bias=bias.detach().numpy().astype(float))


def _cross_entropy(p: Tensor, objective: Objective) -> Tensor:
    """Mean over queries of the mean over relevant items of -log(p / Σ over candidates of p)."""
    p = p[objective.queries].clamp_min(1e-12)
    relevant, allowed = objective.relevant[objective.queries], objective.allowed[objective.queries]
    log_all = (p * allowed).sum(dim=1).log()
    log_relevant = (p.log() * relevant).sum(dim=1) / relevant.sum(dim=1)
    return (log_all - log_relevant).mean()


def _by_ndcg(gate: Gate, data: Candidates, objectives: list[Objective]) -> Gate:
    """Coordinate ascent over the sources' biases, in ever smaller steps, twice."""
    best = _quality(gate, data, objectives)
    for step in STEPS:
        for source in range(len(gate.bias)):
            for move in (step, -step):
                bias = gate.bias.copy()
                bias[source] += move
                moved = replace(gate, bias=bias)
                quality = _quality(moved, data, objectives)
                if quality > best + 1e-6:
                    gate, best = moved, quality
                    break
    return gate


def _quality(gate: Gate, data: Candidates, objectives: list[Objective]) -> float:
    """Σ over the rankings of log mean NDCG@10, so that a per cent counts the same in each; likelihood breaks ties."""
    p = _mixed(gate, data)
    return sum(
        float(np.log(max(ndcg(p, objective), 1e-9))) - LIKELIHOOD * float(_cross_entropy(p, objective))
        for objective in objectives
    )


def _mixed(gate: Gate, data: Candidates) -> Tensor:
    """p of each candidate, [Q, C]."""
    weights = torch.from_numpy(gate(data.features, data.speaks))
    return torch.bmm(data.p, weights.unsqueeze(2)).squeeze(2)


def ndcg(p: Tensor, objective: Objective) -> float:
    return float(ndcgs(p, objective).mean())


def ndcgs(p: Tensor, objective: Objective) -> Tensor:
    """NDCG@10 of each of the objective's queries, of scores [Q, C].

    Ties count against the target, as in the evaluation: a gate that levels everything must not look good.
    """
    scores = torch.where(objective.allowed, p, -1.0)[objective.queries]
    relevant = objective.relevant[objective.queries]
    best = scores.topk(min(K + 1, scores.shape[1]), dim=1).values
    query, item = relevant.nonzero(as_tuple=True)
    rank = (best[query] >= scores[query, item].unsqueeze(1)).sum(dim=1)
    gain = torch.where(rank <= K, 1 / torch.log2(rank + 1.0), 0.0)
    ideal = (1 / torch.log2(torch.arange(K) + 2.0)).cumsum(0)[relevant.sum(dim=1).clamp(max=K) - 1]
    return torch.zeros(len(scores)).index_add(0, query, gain) / ideal
