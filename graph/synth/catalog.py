"""Made-up items on the shelves of a tree: prices, second categories, and which one of a shelf somebody takes."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Float64s, Int32s, Int64s
from graph.synth.draws import zipf
from graph.synth.tree import Tree

_IN_TWO = 0.1
"""Share of the items that lie in a second category as well."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """I items. The shelf of a leaf holds its items, the most popular first."""

    tree: Tree
    leaf: Int64s  # [I]
    rank: Int64s  # [I] place on the shelf, 0 = the most popular
    second: Int32s  # [I] another category, -1 = none
    price: Float64s  # [I] two decimals
    shelf: Int32s  # [I] items sorted by (leaf, rank)
    first: Int64s  # [L + 1] where each leaf's shelf begins

    def pick(self, leaf: Int64s, u: Float64s) -> Int32s:
        """int32 [n]: an item of each leaf [n], drawn by Zipf's law with `u` [n] in [0, 1)."""
        first = self.first[leaf]
        item: Int32s = self.shelf[first + zipf(self.first[leaf + 1] - first, u)]
        return item


def make_catalog(tree: Tree, n_items: int, draw: np.random.Generator) -> Catalog:
    """Every leaf has an item; prices lie around a level of their top category (log-normal)."""
    n_leaves = len(tree.leaves)
    leaf = draw.permutation(np.concatenate([np.arange(n_leaves), draw.integers(0, n_leaves, n_items - n_leaves)]))
    shelf = np.lexsort((draw.random(n_items), leaf))
    first = np.searchsorted(leaf[shelf], np.arange(n_leaves + 1))
    rank = np.empty(n_items, np.int64)
    rank[shelf] = np.arange(n_items) - first[leaf[shelf]]
    second = tree.leaves[draw.integers(0, n_leaves, n_items)]
    second[(draw.random(n_items) >= _IN_TWO) | (second == tree.leaves[leaf])] = -1
    level = np.exp(draw.normal(2.5, 0.8, tree.n_roots))
    price = level[tree.root[tree.leaves[leaf]]] * np.exp(draw.normal(0.0, 0.5, n_items))
    return Catalog(tree, leaf, rank, second, np.maximum(price.round(2), 0.01), shelf.astype(np.int32), first)
