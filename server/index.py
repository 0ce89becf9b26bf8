"""Nearest vectors by cosine: exact while the catalog is small, an HNSW graph above; one interface, recall tested.

Vectors have unit length, so the inner product is the cosine. HNSW: Malkov & Yashunin 2016, as faiss builds it.
"""

from typing import Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

EXACT_UP_TO = 50_000
"""Vectors; below this a matrix product takes about a millisecond and nothing is gained by being less than exact."""
NEIGHBOURS = 32
BUILD_EFFORT = 80
SEARCH_EFFORT = 256
FEW_ALLOWED = 0.1
"""When a filter lets fewer than this share through, walking the graph finds too few and the product is cheap."""


class Index(Protocol):
    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The k nearest rows of each query [Q, dim] among the `allowed` [N]: rows and cosines [Q, ≤ k], best first."""
        ...


def make_index(vectors: NDArray[np.float32], *, exact_up_to: int = EXACT_UP_TO) -> Index:
    """`vectors` float32 [N, dim] of unit length, or zero for what has none (never found)."""
    return ExactIndex(vectors) if len(vectors) <= exact_up_to else GraphIndex(vectors)


class ExactIndex:
    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._vectors = vectors
        self._present = _present(vectors)

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        rows = np.flatnonzero(self._present if allowed is None else self._present & allowed)
        vectors = self._vectors if len(rows) == len(self._vectors) else self._vectors[rows]
        cosines = queries @ vectors.T
        k = min(k, len(rows))
        if k == 0:
            return np.zeros((len(queries), 0), np.int64), np.zeros((len(queries), 0), np.float32)
        best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
        found = np.take_along_axis(cosines, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        return rows[np.take_along_axis(best, order, axis=1)], np.take_along_axis(found, order, axis=1)


class GraphIndex:
    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._exact = ExactIndex(vectors)
        self._present = _present(vectors)
        self._graph = faiss.IndexHNSWFlat(vectors.shape[1], NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        self._graph.hnsw.efConstruction = BUILD_EFFORT
        self._graph.add(np.ascontiguousarray(vectors))

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        mask = self._present if allowed is None else self._present & allowed
        if mask.sum() < max(FEW_ALLOWED * len(mask), k):
            return self._exact.search(queries, k, allowed)
        selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        search = faiss.SearchParametersHNSW(efSearch=max(SEARCH_EFFORT, 4 * k), sel=selector)
        cosines, rows = self._graph.search(np.ascontiguousarray(queries, np.float32), k, params=search)
        if (rows < 0).any():  # the walk found fewer than exist
            return self._exact.search(queries, k, allowed)
        return rows, cosines


def _present(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.asarray(np.einsum("nd,nd->n", vectors, vectors) > 0.25)
