"""Latent segments: what each prefers at the top of the tree, and how far its visits go."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from graph.arrays import Float64s, Int64s

OWN_ROOTS = 2
_OWN_SHARE = 0.85
"""Of a segment's interest lies in its own top categories, the rest anywhere."""
_FINE = 4096
"""Steps of the table from which top categories are drawn: one look-up instead of a search."""


@dataclass(frozen=True, eq=False)
class Segments:
    """S segments over R top categories."""

    share: Float64s  # [S] of all users, sums to 1
    preference: Float64s  # [S, R] each row sums to 1
    cart: Float64s  # [S] of the views that lead to the cart
    buy: Float64s  # [S] of what is in the cart and is bought
    rate: Float64s  # [S] of what is bought and is rated
    repeat: Float64s  # [S] of the choices within an interest that go to what the user always takes

    def __len__(self) -> int:
        return len(self.share)

    def root(self, segment: npt.NDArray[np.integer], u: Float64s) -> Int64s:
        """int64 [n]: a top category as each segment [n] prefers them, drawn with `u` [n] in [0, 1)."""
        root: Int64s = self._root[segment, (u * _FINE).astype(np.int64)]
        return root

    def steps(self, segment: npt.NDArray[np.integer], u: Float64s) -> Int64s:
        """int64 [n]: how far each goes, 1 = views, 2 = puts it into the cart, 3 = buys, 4 = rates as well."""
        steps: Int64s = np.ones(len(u), np.int64)
        for chance in np.cumprod([self.cart, self.buy, self.rate], axis=0):
            steps += u < chance[segment]
        return steps

    @cached_property
    def _root(self) -> Int64s:
        middle = (np.arange(_FINE) + 0.5) / _FINE
        table: Int64s = np.array([np.searchsorted(row, middle) for row in np.cumsum(self.preference, axis=1)])
        np.minimum(table, self.preference.shape[1] - 1, out=table)
        return table


def n_roots(n_segments: int, n_categories: int) -> int:
    """Enough for each segment to have its own, and more where the tree is large."""
    return max(OWN_ROOTS * n_segments, int(np.cbrt(n_categories).round()))


def make_segments(n_segments: int, n_roots: int, draw: np.random.Generator) -> Segments:
    """The first segments are larger. Every second one buys the same things again and again, as of groceries."""
    share = 1 / np.arange(1, n_segments + 1) ** 0.5
    preference = np.empty((n_segments, n_roots))
    own = draw.permutation(n_roots)[: OWN_ROOTS * n_segments].reshape(n_segments, OWN_ROOTS)
    for segment in range(n_segments):
        preference[segment] = (1 - _OWN_SHARE) * draw.dirichlet(np.full(n_roots, 2.0))
        preference[segment, own[segment]] += _OWN_SHARE * draw.dirichlet(np.full(OWN_ROOTS, 8.0))
    repeats = np.arange(n_segments) % 2 == 0
    return Segments(
        share=share / share.sum(),
        preference=preference,
        cart=draw.uniform(0.15, 0.4, n_segments),
        buy=draw.uniform(0.3, 0.7, n_segments),
        rate=draw.uniform(0.05, 0.25, n_segments),
        repeat=np.where(repeats, draw.uniform(0.5, 0.8, n_segments), 0.0),
    )
