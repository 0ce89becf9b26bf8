"""The catalog as it is now, seen from a revision's items: what is available, and what is in which category.

Filters answer from this, so an item that is taken out of the catalog vanishes within a second, not with the next
refresh. Rebuilt as a whole when the change feed says that the catalog changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse
from sqlalchemy import select

from graph.arrays import Bools, Int16s, Int32s, Int64s
from graph.ids import IdMap
from graph.meaning import Meaning
from graph.storage.database import Database
from graph.storage.errors import ArtifactError
from graph.storage.kinds import EventKind, load_kinds
from graph.storage.tables import category, category_version, item, item_category, item_version
from graph.taxonomy import ancestors_matrix
from training.artifact import Artifact


@dataclass(frozen=True)
class LiveCatalog:
    """`available`, `exists` [V]; `below` csc [V, C]: the items in each category of now or below it."""

    available: Bools
    exists: Bools
    newer_items: frozenset[str]
    """External ids of items that the catalog has and the revision does not."""
    newer_categories: frozenset[str]
    categories: IdMap
    below: sparse.csc_array
    kind_index: Int16s
    """By the store's number of an event kind: its place in `meaning`, those that the net learned first; -1 = none."""
    learned_kinds: int
    told_kinds: tuple[EventKind, ...]
    """As the store has them."""
    meaning: Meaning
    """What kinds say now, whatever they said when the net learned them."""

    def in_any(self, categories: Sequence[str]) -> Bools:
        """[V]: items in one of the categories or below it; a category that is not there holds nothing."""
        mask = np.zeros(self.below.shape[0], bool)
        for column in self.categories.index_of(list(categories)):
            if column >= 0:
                mask[self.below.indices[self.below.indptr[column] : self.below.indptr[column + 1]]] = True
        return mask

    def kinds(self, kind_id: Int64s) -> Int16s:
        """`kind_index` of each number, -1 for kinds younger than this view of the catalog."""
        place = np.minimum(kind_id, len(self.kind_index) - 1)
        return np.where(kind_id < len(self.kind_index), self.kind_index[place], np.int16(-1))


def read_live_catalog(database: Database, artifact: Artifact) -> LiveCatalog:
    """The state of now for a revision. ArtifactError where the revision was made from another store."""
    items, version = artifact.items, item_version.c
    rows = database.read(
        select(item.c.external_id, version.item_id, version.available)
        .join(item_version, version.item_id == item.c.id)
        .where(version.is_current, ~version.deleted)
    )
    names, index = _column(rows, "external_id"), items.index_of_surrogate(_numbers(rows, "item_id"))
    _check_same_store(artifact, names, index)
    known = index >= 0
    exists, available = np.zeros(len(items), bool), np.zeros(len(items), bool)
    exists[index[known]] = True
    available[index[known]] = _column(rows, "available").to_numpy(zero_copy_only=False)[known]

    nodes = category_version.c
    tree = database.read(
        select(category.c.id, category.c.external_id, nodes.parent_id)
        .join(category_version, nodes.category_id == category.c.id)
        .where(nodes.is_current, ~nodes.deleted)
        .order_by(category.c.id)
    )
    categories = IdMap(_column(tree, "external_id"), _numbers(tree, "id"))
    parent = categories.index_of_surrogate(_numbers(tree, "parent_id", none=-1))
    links = database.read(
        select(version.item_id, item_category.c.category_id)
        .join(item_version, version.id == item_category.c.item_version_id)
        .where(version.is_current, ~version.deleted)
    )
    # The three reads may see different moments; what does not fit is left out until the change between them is seen.
    pairs = np.stack(
        [
            items.index_of_surrogate(_numbers(links, "item_id")),
            categories.index_of_surrogate(_numbers(links, "category_id")),
        ]
    )
    pairs = pairs[:, (pairs >= 0).all(axis=0)]
    learned_categories = frozenset(artifact.categories.external.to_pylist())
    told_kinds = load_kinds(database)
    kind_index, meaning = _kinds(told_kinds, artifact)
    return LiveCatalog(
        available=available,
        exists=exists,
        newer_items=frozenset(names.filter(pa.array(~known)).to_pylist()),
        newer_categories=frozenset(categories.external.to_pylist()) - learned_categories,
        categories=categories,
        below=sparse.csc_array(ancestors_matrix(pairs, parent, len(items))),
        learned_kinds=len(artifact.manifest.kinds),
        kind_index=kind_index,
        told_kinds=tuple(told_kinds),
        meaning=meaning,
    )


def _check_same_store(artifact: Artifact, names: pa.StringArray, index: Int32s) -> None:
    """Events reach the model by surrogate ids, which another store gives to other items."""
    known = pa.array(index >= 0)
    theirs = artifact.items.external.take(pa.array(index[index >= 0]))
    if not pc.all(pc.equal(names.filter(known), theirs), min_count=0).as_py():
        raise ArtifactError(
            f"{artifact.path} was made from another store: its items have other ids here.",
            hint="Train a model on this store with `penchant train`, or point --database at the old one.",
            reason="ARTIFACT_OF_OTHER_STORE",
        )


def _kinds(kinds: Sequence[EventKind], artifact: Artifact) -> tuple[Int16s, Meaning]:
    """`kind_index` and `meaning`."""
    now = {kind.name: kind for kind in kinds}
    learned = [EventKind(id=0, **kind.model_dump()) for kind in artifact.manifest.kinds]
    place = {kind.name: number for number, kind in enumerate(learned)}
    younger = [kind for kind in kinds if kind.name not in place]
    place |= {kind.name: len(learned) + number for number, kind in enumerate(younger)}
    index = np.full(max((kind.id for kind in kinds), default=0) + 1, -1, np.int16)
    for kind in kinds:
        index[kind.id] = place[kind.name]
    return index, Meaning.of([*(now.get(kind.name, kind) for kind in learned), *younger])


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name).combine_chunks()
    return column if isinstance(column, pa.Array) else pa.array([], column.type)


def _numbers(table: pa.Table, name: str, none: int = 0) -> NDArray[np.int64]:
    return np.asarray(_column(table, name).fill_null(none).to_numpy(), np.int64)
