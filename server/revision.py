"""One loaded revision, ready to answer: the artifact, the net, the mixture and the indices. Never changes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from graph.arrays import Bools, Int64s
from graph.ids import IdMap
from graph.storage.times import now_us
from graph.taxonomy import ancestors_matrix
from server.index import Index, make_index
from training.artifact import Artifact, load_artifact
from training.fast.answer import FastMixture
from training.fast.foretell import compile_now
from training.mixture import Mixture
from training.mixture_net import UsersFrom


@dataclass(frozen=True)
class Revision:
    """V items, C categories, U users as of `artifact.manifest.as_of`."""

    artifact: Artifact
    fast: FastMixture
    items: Index
    categories: Index
    users: Index
    """Rows are (user, interest); a user's interests follow one another."""
    ancestors: sparse.csr_array
    """[V, C]: 1 where an item is in a category or below it, as of the revision."""

    @property
    def mixture(self) -> Mixture:
        return self.fast.mixture

    @property
    def version(self) -> str:
        return self.artifact.version

    @cached_property
    def items_with_vector(self) -> Bools:
        """[V]"""
        return np.asarray(self.artifact.item_vectors.any(axis=1))

    @cached_property
    def categories_with_vector(self) -> Bools:
        """[C]"""
        return np.asarray(self.artifact.category_vectors.any(axis=1))

    @cached_property
    def item_order(self) -> Int64s:
        """Items that have a vector, in the order of their external ids' UTF-8 bytes."""
        return _in_order(self.artifact.items, self.items_with_vector)

    @cached_property
    def category_order(self) -> Int64s:
        """The same of categories."""
        return _in_order(self.artifact.categories, self.categories_with_vector)

    @cached_property
    def population_share(self) -> NDArray[np.float64]:
        """Share of the popular distribution on each category and below it, [C]."""
        return np.asarray(self.artifact.popularity @ self.ancestors, np.float64)


def _in_order(ids: IdMap, has_vector: Bools) -> Int64s:
    order = pc.sort_indices(ids.external.cast("binary")).to_numpy()
    return np.asarray(order[has_vector[order]], np.int64)


def load_revision(path: Path, users_from: Callable[[Path], UsersFrom] | None = None) -> Revision:
    """users_from: by a revision's folder, who is asked for users' vectors first. Raises ArtifactError naming the broken
    file."""
    artifact = load_artifact(path)
    mixture = artifact.mixture if users_from is None else artifact.mixture.with_users_from(users_from(path))
    table = artifact.item_categories.tocoo()
    pairs = np.stack([table.row, table.col]).astype(np.int32)
    ancestors = ancestors_matrix(pairs, artifact.category_parent, len(artifact.items))
    n_users, interests, dim = artifact.user_vectors.shape
    fast = FastMixture.of(mixture, now_us(), artifact.cells)
    compile_now()
    for ids in (artifact.items, artifact.categories):
        ids.prepare()
    artifact.users.prepare(names=False)
    return Revision(
        artifact=artifact,
        fast=fast,
        items=make_index(artifact.item_vectors, fast.cells),
        categories=make_index(artifact.category_vectors),
        users=make_index(artifact.user_vectors.reshape(n_users * interests, dim), artifact.user_cells),
        ancestors=sparse.csr_array(ancestors, dtype=np.float32),
    )
