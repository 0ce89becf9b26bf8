"""The tree of categories: depth, ancestors, roll-up, and which items lie below which category."""

from functools import cached_property
from typing import Any

import networkx as nx
import numpy as np
import numpy.typing as npt

from graph.arrays import Float64s, Int32s
from graph.snapshot import Snapshot
from graph.sparse import Csr
from graph.storage.errors import BadInputError

_NAMED = 12
"""A cycle's message names so many categories, then counts the rest."""


class Taxonomy:
    """A forest over C categories: `parent` int32 [C], -1 = a root. Raises BadInputError, naming a cycle's members."""

    def __init__(self, parent: Int32s, labels: list[str] | None = None) -> None:
        """`labels` [C] are what messages call the categories (external ids); without them, their indices."""
        self.parent = np.asarray(parent, np.int32)
        self.labels = labels if labels is not None else [str(index) for index in range(len(self.parent))]
        self.tree: nx.DiGraph[int] = nx.DiGraph()  # edges point from the parent to the child
        self.tree.add_nodes_from(range(len(self.parent)))
        child = np.flatnonzero(self.parent >= 0)
        self.tree.add_edges_from(zip(self.parent[child].tolist(), child.tolist(), strict=True))
        self._refuse_cycles()

    @classmethod
    def of(cls, snapshot: Snapshot) -> "Taxonomy":
        return cls(snapshot.category_parent, snapshot.categories.external.to_pylist())

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def roots(self) -> list[int]:
        return [int(root) for root in np.flatnonzero(self.parent < 0)]

    @cached_property
    def depth(self) -> Int32s:
        """int32 [C]: 0 for a root."""
        depth = np.zeros(len(self), np.int32)
        for node in self._from_roots:
            if self.parent[node] >= 0:
                depth[node] = depth[self.parent[node]] + 1
        return depth

    def ancestors(self, category: int) -> list[int]:
        """From the parent up to the root."""
        path: list[int] = []
        while (category := int(self.parent[category])) >= 0:
            path.append(category)
        return path

    def descendants(self, category: int) -> set[int]:
        """All below, without the category itself."""
        below: set[int] = nx.descendants(self.tree, category)
        return below

    def children(self, category: int) -> list[int]:
        return list(self.tree.successors(category))

    def roll_up(self, counts: npt.ArrayLike) -> Float64s:
        """Own `counts` [C] and those of all descendants, [C]. What hangs at two categories is counted at both."""
        total: Float64s = np.array(counts, dtype=np.float64)
        for node in reversed(self._from_roots):
            if self.parent[node] >= 0:
                total[self.parent[node]] += total[node]
        return total

    @cached_property
    def _from_roots(self) -> list[int]:
        order: list[int] = list(nx.topological_sort(self.tree))
        return order

    def _refuse_cycles(self) -> None:
        if nx.is_directed_acyclic_graph(self.tree):
            return
        members = [child for _, child in nx.find_cycle(self.tree)][::-1]  # child before its parent
        names = [self.labels[member] for member in members[:_NAMED]]
        more = f" > … ({len(members) - _NAMED} more)" if len(members) > _NAMED else ""
        raise BadInputError(
            f"The categories form a cycle: {' > '.join([*names, names[0]] if not more else names)}{more}.",
            hint="Give one of them another parent, or none.",
        )


def ancestors_matrix(item_category: Int32s, category_parent: Int32s, n_items: int | None = None) -> Csr:
    """bool CSR [I, C]: the categories of each item, their ancestors included.

    `item_category` int32 [2, m], `category_parent` int32 [C]. Without `n_items` the largest item with a category is the
    last. Raises BadInputError for a cycle.
    """
    n_categories = len(category_parent)
    item, category = np.asarray(item_category, np.int64)
    rows, columns = [item], [category]
    for _ in range(n_categories):
        up = category_parent[category] if n_categories else category
        item, category = item[up >= 0], up[up >= 0].astype(np.int64)
        if not len(item):
            break
        rows.append(item)
        columns.append(category)
    else:
        Taxonomy(category_parent)  # as many levels as categories, and still going up: names the cycle
    row, column = np.concatenate(rows), np.concatenate(columns)
    n_items = int(row.max(initial=-1)) + 1 if n_items is None else n_items
    matrix = Csr((np.ones(len(row), np.bool_), (row, column)), shape=(n_items, n_categories))
    matrix.sum_duplicates()
    return matrix


def paths(taxonomy: Taxonomy, names: Any, separator: str = " > ") -> list[str]:
    """[C]: the names from the root down to each category, e.g. "GROCERY > FROZEN > ICE"."""
    shown = [str(name) for name in names]
    return [
        separator.join(shown[step] for step in [*reversed(taxonomy.ancestors(node)), node])
        for node in range(len(taxonomy))
    ]
