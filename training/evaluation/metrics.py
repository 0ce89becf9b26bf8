"""Full-ranking metrics per user. Ties count against the target; non-finite scores are refused.

The rank of a relevant item is the number of candidates with score >= its own (itself included, so it counts from 1):
a ranker that gives all items one score ranks every target last. Recall and the ideal DCG run over min(k, relevant).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from graph.arrays import Bools, Float32s, Float64s, Int64s
from graph.storage.errors import BadInputError

CUTS = (5, 10, 20)
COVERAGE_CUT = 10


@dataclass(frozen=True)
class TopRanks:
    """What the metrics need of one chunk of B users.

    row, item, rank: int64 `[hits]`, relevant items among the best `max(CUTS)`, rank from 1.
    top_items: int64 `[B, COVERAGE_CUT]`, the best candidates, -1 where a user has fewer.
    """

    row: Int64s
    item: Int64s
    rank: Int64s
    top_items: Int64s


def require_finite(scores: Float32s, shape: tuple[int, int], name: str) -> None:
    """BadInputError unless `scores` are finite numbers of that shape: NaN compares false and would rank first."""
    if scores.shape != shape:
        raise BadInputError(
            f"Ranker {name!r} returned scores of shape {scores.shape}, expected {shape}.",
            hint="One row per user asked for, one column per item.",
            reason="WRONG_SHAPE",
        )
    finite = np.isfinite(scores)
    if not finite.all():
        raise BadInputError(
            f"Ranker {name!r} returned {int((~finite).sum())} scores that are not finite numbers.",
            hint="Give items that must not be shown a low score; candidates are the evaluator's business.",
            reason="NON_FINITE_SCORES",
        )


def top_ranks(scores: Float32s, excluded: Bools, relevance: Any) -> TopRanks:
    """Ranks of the relevant items among the candidates.

    Args:
        scores: float32 `[B, V]`, finite; overwritten with -inf where excluded.
        excluded: bool `[B, V]` or `[1, V]`, True = no candidate.
        relevance: CSR `[B, V]`.
    """
    users, items = scores.shape
    np.copyto(scores, -np.inf, where=excluded)
    # One more than the deepest cut: a target level with that one has at least that many others not below it.
    depth = min(max(CUTS) + 1, items)
    best = np.argpartition(scores, items - depth, axis=1)[:, items - depth :]
    values = np.take_along_axis(scores, best, axis=1)
    descending = np.argsort(-values, axis=1, kind="stable")
    best, values = np.take_along_axis(best, descending, axis=1), np.take_along_axis(values, descending, axis=1)

    row = np.repeat(np.arange(users), np.diff(relevance.indptr))
    item = relevance.indices.astype(np.int64)
    own = scores[row, item]
    rank = (values[row] >= own[:, None]).sum(axis=1)
    # Where fewer candidates than `depth` exist the values end in -inf; an excluded item is never a hit.
    hit = (rank <= min(max(CUTS), items)) & np.isfinite(own)
    top = np.where(np.isfinite(values), best, -1)[:, :COVERAGE_CUT]
    return TopRanks(row[hit], item[hit], rank[hit], top)


def per_user(ranks: TopRanks, relevant: Int64s) -> dict[str, Float64s]:
    """Recall, NDCG, MRR and HitRate at each cut, float64 `[B]` each.

    Args:
        relevant: int64 `[B]`, number of relevant items of each user, at least 1.
    """
    users = len(relevant)
    ideal = np.concatenate(([0.0], np.cumsum(1 / np.log2(np.arange(max(CUTS)) + 2))))
    first = np.full(users, np.iinfo(np.int64).max)
    np.minimum.at(first, ranks.row, ranks.rank)
    columns: dict[str, Float64s] = {}
    for k in CUTS:
        within = ranks.rank <= k
        row, rank = ranks.row[within], ranks.rank[within]
        possible = np.minimum(k, relevant)
        columns[f"recall@{k}"] = np.bincount(row, minlength=users) / possible
        columns[f"ndcg@{k}"] = np.bincount(row, weights=1 / np.log2(rank + 1), minlength=users) / ideal[possible]
        columns[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0.0)
        columns[f"hit_rate@{k}"] = (first <= k).astype(np.float64)
    return columns


def recall_curve(ranks: TopRanks, relevant: Int64s) -> Float64s:
    """Mean recall among the best k for k = 1 … max(CUTS), float64 `[max(CUTS)]`; `relevant` as in `per_user`."""
    cuts = np.arange(1, max(CUTS) + 1)
    found = [np.sum(1 / np.minimum(k, relevant)[ranks.row[ranks.rank <= k]]) for k in cuts]
    return np.array(found) / len(relevant)
