"""A made-up tree of categories: some top ones, two levels below, and the leaves in which items lie."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Float64s, Int32s, Int64s
from graph.synth.draws import zipf


@dataclass(frozen=True, eq=False)
class Tree:
    """C categories: R at the top, L with nothing below them. A leaf is named by its place in `leaves`."""

    parent: Int32s  # [C] -1 = at the top
    root: Int32s  # [C] the top category above, or itself
    leaves: Int32s  # [L] categories, sorted by root, within a root the most popular first
    first_leaf: Int64s  # [R + 1] where each root's leaves begin

    @property
    def n_roots(self) -> int:
        return len(self.first_leaf) - 1

    def leaf(self, root: Int64s, u: Float64s) -> Int64s:
        """int64 [n]: a leaf below each root [n], drawn by Zipf's law with `u` [n] in [0, 1)."""
        first = self.first_leaf[root]
        return first + zipf(self.first_leaf[root + 1] - first, u)


def make_tree(n_categories: int, n_roots: int, draw: np.random.Generator) -> Tree:
    """`n_roots` at the top; each level about as many times larger than the one above as that is than its own."""
    parent = np.full(n_categories, -1, np.int32)
    root = np.arange(n_categories, dtype=np.int32)
    start, end = 0, n_roots
    for size in _levels(n_categories, n_roots):
        # Each has a child before any has two.
        place = np.arange(size) % (end - start) if size < end - start else _all_then_any(end - start, size, draw)
        parent[end : end + size] = start + place
        root[end : end + size] = root[start + place]
        start, end = end, end + size
    is_leaf = np.bincount(parent[parent >= 0], minlength=n_categories) == 0
    leaves = draw.permutation(np.flatnonzero(is_leaf))
    leaves = leaves[np.argsort(root[leaves], kind="stable")].astype(np.int32)
    return Tree(parent, root, leaves, np.searchsorted(root[leaves], np.arange(n_roots + 1)))


def _levels(n_categories: int, n_roots: int) -> list[int]:
    """Sizes of the second and third level."""
    below = n_categories - n_roots
    second = min(below, round((n_categories * n_roots) ** 0.5))
    return [size for size in (second, below - second) if size]


def _all_then_any(n_parents: int, size: int, draw: np.random.Generator) -> Int64s:
    return np.concatenate([np.arange(n_parents), draw.integers(0, n_parents, size - n_parents)])
