"""Nearest vectors by cosine: exact while there are few, by cells of like ones above; one interface, recall tested.

Vectors have unit length, so the inner product is the cosine.
"""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.fast.cells import Cells, cells_of
from training.fast.compiled import sealed
from training.fast.nearest import nearest

EXACT_UP_TO = 10_000
"""Vectors; below this a matrix product takes a tenth of a millisecond, and being less than exact gains nothing."""
LOOKED_AT = 0.03
"""Share of the cells that are looked into: of 70,000 learned vectors they hold .992 of the nearest 100."""
LOOKED_AT_PER_NEIGHBOUR = 20
"""And so many of the allowed vectors at least for each neighbour that is asked for."""
FEW_ALLOWED = 0.1
"""When a filter lets fewer than this share through, most of what is looked at would be in vain, and the product is
cheap."""


class Index(Protocol):
    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest rows of each query [Q, dim] among the `allowed` [N]: rows and cosines [Q, ≤ k], best first."""
        ...


def make_index(
    vectors: NDArray[np.float32], cells: Cells | None = None, *, exact_up_to: int = EXACT_UP_TO
) -> "ExactIndex | CellIndex":
    """`vectors` float32 [N, dim] of unit length, or zero for what has none (never found); `cells`: theirs, if known."""
    if len(vectors) <= exact_up_to:
        return ExactIndex(vectors)
    return CellIndex(vectors, cells or cells_of(vectors, None, 1.0, few=exact_up_to))


class ExactIndex:
    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors
        self._present = _present(vectors)

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.flatnonzero(self._present if allowed is None else self._present & allowed)
        if 2 * len(rows) > len(self._vectors):  # copying vectors is dearer than their products
            cosines = (queries @ self._vectors.T)[:, rows]
        else:
            cosines = queries @ self._vectors[rows].T
        k = min(k, len(rows))
        if k == 0:
            return np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        return rows[np.take_along_axis(best, order, axis=1)], np.take_along_axis(found, order, axis=1)


class CellIndex:
    def __init__(self, vectors: NDArray[np.float32], cells: Cells) -> None:
        self._exact = ExactIndex(vectors)
        self._present = _present(vectors)
        self._cells = cells
        length = np.maximum(np.linalg.norm(cells.center, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        self._directions = cells.center / length
        if len(vectors):  # the loop is compiled at its first call, for which nobody should have to wait
            self.search(vectors[:1], 1)

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        mask = self._present if allowed is None else self._present & allowed
        n_allowed = np.count_nonzero(mask)
        if n_allowed < max(FEW_ALLOWED * len(mask), k):
            return self._exact.search(queries, k, allowed)
        rows, cosines = np.empty((len(queries), k), np.int64), np.empty((len(queries), k), np.float32)
        share = max(LOOKED_AT, LOOKED_AT_PER_NEIGHBOUR * k / n_allowed)
        closeness, cells = queries @ self._directions.T, self._cells
        for q, query in enumerate(queries):
            where = (cells.offsets, cells.item, cells.vectors, mask)
            nearest(sealed(query), closeness[q], *where, k, math.ceil(share * len(closeness[q])), rows[q], cosines[q])
        return rows, cosines


def _present(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.einsum("nd,nd->n", vectors, vectors) > 0.25)
