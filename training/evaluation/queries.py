"""Questions with known answers: what users had done, and what they did next."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Bools, Int32s, Int64s
from graph.histories import Histories

Seen = Literal["include", "exclude"]
"""A user's earlier items: candidates like others (include), or neither candidates nor relevant (exclude)."""


@dataclass(frozen=True, eq=False)
class Queries:
    """B questions.

    users: int32 `[B]`, indices. histories: B rows, all before the label. now_us: int64 `[B]`, the moment asked at.
    relevance: CSR `[B, V]` of ones, at least one a row. catalog: bool `[V]`, the items that existed when asked.
    """

    users: Int32s
    histories: Histories
    now_us: Int64s
    relevance: Any
    catalog: Bools

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: Int64s | Bools) -> "Queries":
        places = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return Queries(
            self.users[places],
            self.histories.select(places),
            self.now_us[places],
            csr_array(self.relevance[places]),
            self.catalog,
        )

    def under(self, seen: Seen) -> "Queries":
        """The questions under a rule: `exclude` takes earlier items out of relevance, then users left with none."""
        if seen == "include":
            return self
        row = np.repeat(np.arange(len(self)), np.diff(self.relevance.indptr))
        new = ~self.had(row, self.relevance.indices)
        relevance = _ones(row[new], self.relevance.indices[new], self.relevance.shape)
        return replace(self, relevance=relevance).select(np.diff(relevance.indptr) > 0)

    def had(self, row: Int64s, item: Int64s) -> Bools:
        """Whether each (row, item) stands in that row's history, bool `[n]`."""
        key = np.asarray(row, dtype=np.int64) * self.histories.n_items + item
        place = np.minimum(np.searchsorted(self._owned, key), max(len(self._owned) - 1, 0))
        return self._owned[place] == key if len(self._owned) else np.zeros(len(key), np.bool_)

    @cached_property
    def _owned(self) -> Int64s:
        """Ascending row · V + item of everything in the histories; every ranker is asked for it."""
        return np.sort(self.histories.row_of.astype(np.int64) * self.histories.n_items + self.histories.item)


def queries_of(
    users: Int32s, histories: Histories, now_us: Int64s, row: Int64s, item: Int32s, catalog: Bools
) -> Queries:
    """Queries from pairs (row, relevant item), in any order, repeats allowed."""
    return Queries(users, histories, now_us, _ones(row, item, (len(users), len(catalog))), catalog)


def _ones(row: Int64s, item: Int32s, shape: tuple[int, int]) -> csr_array:
    matrix = csr_array((np.ones(len(row), dtype=np.float32), (row, item)), shape=shape)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
