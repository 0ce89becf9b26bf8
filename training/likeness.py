"""How alike items are: the cosine of their vectors as seen from the mean item.

Seen from the origin all vectors point somewhat the same way, towards what is bought at all, and everything is a little
like everything. Only two numbers an item are kept beside the vectors, which may be mapped from a file.
"""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Float32s, Int32s, Int64s
from graph.histories import Histories
from training.profiles import directions_of


@dataclass(frozen=True, eq=False)
class Likeness:
    """`vectors` [V, dim]; `mean` [dim]; `along` [V]: v · mean; `away` [V]: |v - mean|; `square`: mean · mean."""

    vectors: Float32s
    mean: Float32s
    along: Float32s
    away: Float32s
    square: float

    @classmethod
    def of(cls, vectors: Float32s) -> "Likeness":
        mean = vectors.mean(axis=0) if len(vectors) else np.zeros(vectors.shape[1], np.float32)
        along, square = vectors @ mean, float(mean @ mean)
        away = np.sqrt(np.maximum(np.einsum("vd,vd->v", vectors, vectors) - 2 * along + square, 1e-12))
        return cls(vectors, mean, along, away.astype(np.float32), square)

    def of_histories(self, histories: Histories, others: Histories) -> Float32s:
        """[B]: how alike what two histories of each row hold is, -1 to 1, 0 where one is empty; an item counts once."""
        alike: Float32s = np.einsum("bd,bd->b", self._profiles(histories), self._profiles(others))
        return alike

    def _profiles(self, histories: Histories) -> Float32s:
        return directions_of(histories, lambda items: (self.vectors[items] - self.mean) / self.away[items, None])

    def between(self, items: Int64s | None, others: Int32s) -> Float32s:
        """[M, D], -1 to 1; `items` None: all."""
        mine = slice(None) if items is None else items
        dots = self.vectors[mine] @ self.vectors[others].T
        seen = dots - self.along[mine, None] - self.along[others] + self.square
        alike: Float32s = np.clip(seen / (self.away[mine, None] * self.away[others]), -1, 1)
        return alike
