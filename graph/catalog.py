"""The catalog through time: every known version of items and categories, and what held at a moment.

A version holds from `valid_from` until the owner's next one: [valid_from, next). Of two versions that start at the
same moment the one recorded later holds.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from graph.arrays import Bools, Int32s, Int64s
from graph.ranges import places


@dataclass(frozen=True, eq=False)
class ItemVersions:
    """Sorted by (item, valid_from, recorded_at, id); `category` is a CSR over the versions."""

    item: Int32s  # [v]
    valid_from: Int64s  # [v] microseconds
    name: pa.StringArray  # [v]
    attributes: pa.StringArray  # [v] JSON objects, "" where there is nothing
    available: Bools  # [v]
    deleted: Bools  # [v]
    category_offsets: Int64s  # [v + 1]
    category: Int32s  # [m]


@dataclass(frozen=True, eq=False)
class CategoryVersions:
    """Sorted by (category, valid_from, recorded_at, id)."""

    category: Int32s  # [v]
    valid_from: Int64s  # [v] microseconds
    name: pa.StringArray  # [v]
    parent: Int32s  # [v] -1 = a root
    deleted: Bools  # [v]


@dataclass(frozen=True, eq=False)
class Catalog:
    """What held at a moment, for I items and C categories of the index spaces."""

    item_exists: Bools  # [I] has a version that holds and is no deletion
    item_available: Bools  # [I] exists and can be bought
    item_names: pa.StringArray  # [I] "" where unknown
    item_attributes: pa.StringArray  # [I] JSON objects, "" where there is nothing
    item_category: Int32s  # [2, m] item, category; both exist
    category_exists: Bools  # [C]
    category_parent: Int32s  # [C] -1 = a root, or its parent does not exist
    category_names: pa.StringArray  # [C]


@dataclass(frozen=True, eq=False)
class CatalogLog:
    n_items: int
    n_categories: int
    items: ItemVersions
    categories: CategoryVersions

    def at(self, t: int) -> Catalog:
        """The catalog that holds at `t` (microseconds): versions with valid_from <= t."""
        item_row = _holding(self.items.item, self.items.valid_from, t, self.n_items)
        category_row = _holding(self.categories.category, self.categories.valid_from, t, self.n_categories)
        item_exists = _flag(~self.items.deleted, item_row)
        category_exists = _flag(~self.categories.deleted, category_row)

        parent = np.full(self.n_categories, -1, np.int32)
        parent[category_exists] = self.categories.parent[category_row[category_exists]]
        parent[(parent >= 0) & ~category_exists[parent]] = -1

        version = item_row[item_exists]
        lengths = np.diff(self.items.category_offsets)[version]
        category = self.items.category[places(self.items.category_offsets[version], lengths)]
        edges = np.stack([np.repeat(np.flatnonzero(item_exists), lengths), category]).astype(np.int32)

        return Catalog(
            item_exists=item_exists,
            item_available=item_exists & _flag(self.items.available, item_row),
            item_names=_texts(self.items.name, item_row, item_exists),
            item_attributes=_texts(self.items.attributes, item_row, item_exists),
            item_category=edges[:, category_exists[category]],
            category_exists=category_exists,
            category_parent=parent,
            category_names=_texts(self.categories.name, category_row, category_exists),
        )


def _holding(owner: Int32s, valid_from: Int64s, t: int, n: int) -> Int64s:
    """int64 [n]: the row of each owner's version that holds at t, -1 = none."""
    row = np.full(n, -1, np.int64)
    begun = np.flatnonzero(valid_from <= t)
    np.maximum.at(row, owner[begun], begun)
    return row


def _flag(flags: Bools, row: Int64s) -> Bools:
    shown = np.zeros(len(row), np.bool_)
    shown[row >= 0] = flags[row[row >= 0]]
    return shown


def _texts(text: pa.StringArray, row: Int64s, exists: Bools) -> pa.StringArray:
    return text.take(pa.array(row, pa.int64(), mask=~exists)).fill_null("")
