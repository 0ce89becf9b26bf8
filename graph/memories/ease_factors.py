"""EASE for few users with long histories: all weights between items, negative ones too, as factors.

B = -P / diag(P) with P = (XᵀX + λI)⁻¹ (Steck 2019). With X = U S Vᵀ, λP = I - F Fᵀ for F = V diag(s / √(s² + λ)), so
B_ij = F_i · F_j / (1 - F_j · F_j) for i ≠ j: `[items, users]` numbers, or fewer where the weakest directions are left
out, hold what `[items, items]` would. Long histories need the negative weights: B cut to its positive ones ranks new
groceries 10 % worse, cut to the strongest 100 of a row no worse than that.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.sparse import csr_array

from graph.arrays import Float32s, Int32s, Int64s
from graph.histories import Histories
from graph.memories.sparse import rows_to_distributions

MAX_USERS = 4_000
"""More users cost minutes, O(users³)."""
L2, RANK, MIN_USERS, MAX_ITEMS = 100.0, 768, 2, 12_500
KEEP = 1_000
CHUNK = 256


@dataclass(frozen=True)
class EaseFactors:
    """`items` int32 `[n]`, ascending; `factors` F, float32 `[n, rank]`; `scale` float32 `[n]`: 1 / (1 - F_j · F_j)."""

    items: Int32s
    factors: Float32s
    scale: Float32s


def ease_factors(
    histories: Histories,
    now_us: int,
    half_life_us: float,
    *,
    l2: float = L2,
    rank: int = RANK,
    min_users: int = MIN_USERS,
    max_items: int = MAX_ITEMS,
) -> EaseFactors:
    """Fitted on all users' `interests`, over the `max_items` most owned items that at least `min_users` users have."""
    X = interests(histories.until(now_us), np.full(len(histories), now_us, np.int64), half_life_us)
    owners = np.bincount(X.indices, minlength=histories.n_items)
    order = np.argsort(-owners, kind="stable")[:max_items]
    items = np.sort(order[owners[order] >= min_users]).astype(np.int32)
    X = csr_array(X[:, items])
    gram = (X @ X.T).toarray().astype(np.float64)
    squares, vectors = eigh(gram, overwrite_a=True, driver="evd")
    strongest_first = (vectors / np.sqrt(np.maximum(squares, 0) + l2)).astype(np.float32)[:, ::-1]
    factors = X.T @ np.ascontiguousarray(strongest_first)
    scale = 1 / (1 - np.einsum("ik,ik->i", factors, factors))
    return EaseFactors(items, np.ascontiguousarray(factors[:, :rank]), scale.astype(np.float32))


def interests(histories: Histories, now_us: Int64s, half_life_us: float) -> csr_array:
    """c / (c + 1) of each item of a history, c what its events say, decayed to `now_us` [B]; CSR `[B, V]`."""
    row = histories.row_of
    age_us = np.maximum(now_us[row] - histories.occurred_at, 0)
    shape = (len(histories), histories.n_items)
    said = histories.weights(now_us) * np.exp2(-age_us / half_life_us)
    count = csr_array((said, (row, histories.item)), shape=shape)
    count.sum_duplicates()
    return csr_array(((count.data / (count.data + 1)).astype(np.float32), count.indices, count.indptr), shape)


def recall_ease(ease: EaseFactors, interests: Any, boost: Float32s | None = None, *, keep: int = KEEP) -> csr_array:
    """What each row x of `interests` [B, V] speaks for and does not hold: x · B · boost, CSR `[B, V]`.

    The strongest `keep` positive scores of items new to the row, divided by their sum. boost: float32 `[V]`.
    """
    mine = csr_array(interests[:, ease.items])
    scale = ease.scale if boost is None else ease.scale * boost[ease.items]
    rows, columns, scores = [], [], []
    for begin in range(0, mine.shape[0], CHUNK):
        x = mine[begin : begin + CHUNK]
        # own items are left out, so the diagonal, which F Fᵀ has and B has not, does not matter
        score = (x @ ease.factors) @ ease.factors.T * scale
        score[np.repeat(np.arange(x.shape[0]), np.diff(x.indptr)), x.indices] = 0
        cut = score.shape[1] - min(keep, score.shape[1])
        best = (
            np.argpartition(score, cut, axis=1)[:, cut:]
            if cut
            else np.broadcast_to(np.arange(score.shape[1]), score.shape)
        )
        value = np.take_along_axis(score, best, axis=1)
        row, place = np.nonzero(value > 0)
        rows.append(row + begin)
        columns.append(ease.items[best[row, place]])
        scores.append(value[row, place])
    shape = (mine.shape[0], interests.shape[1])
    if not rows:
        return csr_array(shape, dtype=np.float32)
    coords = (np.concatenate(rows), np.concatenate(columns))
    return rows_to_distributions(csr_array((np.concatenate(scores), coords), shape=shape))
