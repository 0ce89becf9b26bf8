"""A published revision, mapped into memory: `load_artifact(folder)` -> `Artifact`, everything in it checked.

artifacts/m7/          model.safetensors, config.json: the weights that all revisions of model 7 share
artifacts/m7.12/       manifest.json and what was rebuilt from the events of its moment:
    items.arrow categories.arrow users.arrow         external ids, names, availability, parents
    item_categories.{indptr,indices}.npy             the categories that each item is in, csr [V, C]
    item_vectors.npy [V, dim]  category_vectors.npy [C, dim]
    user_vectors.npy [U, K, dim]  user_weights.npy [U, K]
    popularity.npy [V]  memories.json  memories/*.npy  gate.json
    pace.npy  novelty.npy [1]  ranker.json  ranker/*.npy   the last two only where there is a ranker
    segments.json  segment_*.npy
    calibration.json                                 only where probabilities were calibrated
    cells/*.npy user_cells/*.npy                     of the vectors of items and users, only where they are many
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from scipy import sparse

from graph.ids import IdMap
from graph.memories.pace import Pace
from graph.storage.errors import ArtifactError, BadInputError
from training.artifact_arrays import read_array, read_json, read_starts, read_table
from training.artifact_manifest import (
    MANIFEST,
    MODEL_FILES,
    Manifest,
    broken,
    check_file,
    model_folder,
    read_manifest,
    refuse_links,
)
from training.aversion import NEAR, NEAR_DISLIKES, OWN
from training.calibration import Calibration, read_calibration
from training.config import NetConfig
from training.fast.cells import Cells, read_cells
from training.gate import Gate, read_gate
from training.memories import Memory, read_memories
from training.mixture import Mixture, ranker_features, sources_of
from training.mixture_net import NetSource
from training.model import InterestNet
from training.prior import log_prior
from training.ranker import Ranker, read_pace, read_ranker
from training.ranker_features import facts_of
from training.recency import RECENCY, Recency, read_recency
from training.segments import Segments, read_segments

_ID_COLUMNS = [("external_id", pa.string()), ("id", pa.int64())]
ITEM_COLUMNS = pa.schema([*_ID_COLUMNS, ("name", pa.string()), ("available", pa.bool_())])
CATEGORY_COLUMNS = pa.schema([*_ID_COLUMNS, ("name", pa.string()), ("parent", pa.string())])
USER_COLUMNS = pa.schema(_ID_COLUMNS)


@dataclass(frozen=True)
class Artifact:
    """All arrays are read-only and mapped, so that several processes share one copy. V items, C categories, U users."""

    path: Path
    manifest: Manifest
    items: IdMap
    categories: IdMap
    users: IdMap
    item_names: pa.StringArray
    item_available: NDArray[np.bool_]
    category_names: pa.StringArray
    category_parent: NDArray[np.int32]
    item_categories: sparse.csr_array
    item_vectors: NDArray[np.float32]
    category_vectors: NDArray[np.float32]
    user_vectors: NDArray[np.float32]
    user_weights: NDArray[np.float32]
    popularity: NDArray[np.float32]
    memories: tuple[Memory, ...]
    gate: Gate
    ranker: Ranker | None
    pace: Pace
    novelty: float
    segments: Segments
    calibration: Calibration
    cells: Cells | None
    user_cells: Cells | None
    """Rows are (user, interest)."""

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def model_path(self) -> Path:
        return model_folder(self.path.parent, self.manifest.model)

    @property
    def near(self) -> float:
        """How far dislikes reach; a revision of 0.1.0 does not say."""
        near = self.manifest.config.get(NEAR_DISLIKES, NEAR)
        if not (isinstance(near, int | float) and 0 <= near < OWN):
            raise broken(self.path / MANIFEST, f"{NEAR_DISLIKES} {near!r} is no number from 0 to {OWN:g}")
        return float(near)

    @property
    def recency(self) -> Recency:
        """How much the newest events count by themselves; in a revision of 0.1.0 they do not."""
        try:
            return read_recency(self.manifest.config.get(RECENCY))
        except (KeyError, TypeError, ValueError) as error:
            raise broken(self.path / MANIFEST, f"{RECENCY} is not what it should be ({error})") from error

    @cached_property
    def net(self) -> InterestNet:
        """The net, ready to encode users. Raises ArtifactError when weights and settings do not fit."""
        weights, settings = (self.model_path / name for name in MODEL_FILES)
        try:
            return InterestNet.from_state(NetConfig(**read_json(settings)), load_file(weights), shared=True)
        except (ValidationError, SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise broken(weights, f"does not fit {settings.name} ({error})") from error

    @cached_property
    def mixture(self) -> Mixture:
        """The whole model as of this revision: what scores and ranks. Raises ArtifactError when parts do not fit."""
        facts = facts_of(self.pace, self.item_vectors, np.stack(self.item_categories.nonzero()), self.category_parent)
        net = NetSource(
            self.net, self.item_vectors, log_prior(self.pace.ever, self.net.config.popularity_prior, self.novelty)
        )
        self.require_ranker()
        return Mixture(net, self.memories, self.popularity, self.gate, facts, self.ranker, self.near, self.recency)

    def require_ranker(self) -> None:
        """Raises ArtifactError where there is a ranker that reads other features than this version has."""
        if self.ranker is not None and self.ranker.names != ranker_features(sources_of(self.memories)):
            raise broken(self.path / "ranker.json", "reads other features than this version of penchant has")


def load_artifact(path: Path) -> Artifact:
    """Raises ArtifactError naming the file that is missing, altered, unknown or does not fit the others."""
    refuse_links(path)
    manifest = read_manifest(path / MANIFEST)
    if path.name != manifest.version:
        raise broken(path / MANIFEST, f"belongs to {manifest.version}, not to a folder named {path.name}")
    _check_files(path, manifest)
    n_items, n_users, n_categories, dim = manifest.n_items, manifest.n_users, manifest.n_categories, manifest.dim
    items = read_table(path / "items.arrow", ITEM_COLUMNS, n_items)
    categories = read_table(path / "categories.arrow", CATEGORY_COLUMNS, n_categories)
    users = read_table(path / "users.arrow", USER_COLUMNS, n_users)
    category_ids = _ids(path / "categories.arrow", categories)
    user_weights = read_array(path / "user_weights.npy", shape=(n_users, None))
    return Artifact(
        path=path,
        manifest=manifest,
        items=_ids(path / "items.arrow", items),
        categories=category_ids,
        users=_ids(path / "users.arrow", users),
        item_names=_column(items, "name"),
        item_available=_column(items, "available").to_numpy(zero_copy_only=False),
        category_names=_column(categories, "name"),
        category_parent=_parents(categories, category_ids),
        item_categories=_read_item_categories(path, n_items, n_categories),
        item_vectors=read_array(path / "item_vectors.npy", shape=(n_items, dim)),
        category_vectors=read_array(path / "category_vectors.npy", shape=(n_categories, dim)),
        user_vectors=read_array(path / "user_vectors.npy", shape=(n_users, user_weights.shape[1], dim)),
        user_weights=user_weights,
        popularity=read_array(path / "popularity.npy", shape=(n_items,)),
        memories=read_memories(path, n_items),
        gate=read_gate(path),
        ranker=read_ranker(path),
        pace=read_pace(path, n_items),
        novelty=_read_novelty(path / "novelty.npy"),
        segments=read_segments(path, dim, n_users),
        calibration=read_calibration(path),
        cells=read_cells(path / "cells", n_items, dim),
        user_cells=read_cells(path / "user_cells", n_users * user_weights.shape[1], dim),
    )


def _read_novelty(path: Path) -> float:
    """1, all items alike, in a revision of 0.1.0."""
    share = float(read_array(path, shape=(1,))[0]) if path.exists() else 1.0
    if not 0 < share <= 1:
        raise broken(path, f"is {share} and no share")
    return share


def _check_files(path: Path, manifest: Manifest) -> None:
    for name, entry in manifest.files.items():
        check_file(path / name, entry)
    shared = model_folder(path.parent, manifest.model)
    if set(manifest.model_files) != set(MODEL_FILES):
        raise broken(path / MANIFEST, f"must list {', '.join(MODEL_FILES)} as the model's files")
    refuse_links(shared)
    for name, entry in manifest.model_files.items():
        check_file(shared / name, entry)
    for file in path.rglob("*"):
        name = file.relative_to(path).as_posix()
        if file.is_file() and name != MANIFEST and name not in manifest.files:
            raise ArtifactError(
                f"{file} is not part of the revision: its manifest does not name it.",
                hint="A published folder is never written to; move the file away.",
            )


def _ids(path: Path, table: pa.Table) -> IdMap:
    try:
        return IdMap(_column(table, "external_id"), table.column("id").to_numpy())
    except BadInputError as error:
        raise broken(path, f"holds no ids ({error.message})") from error


def _column(table: pa.Table, name: str) -> pa.Array:
    column = table.column(name)
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _parents(categories: pa.Table, ids: IdMap) -> NDArray[np.int32]:
    """Index of each category's parent, -1 for a root."""
    names = _column(categories, "parent")
    return np.where(names.is_null().to_numpy(zero_copy_only=False), -1, ids.index_of(names.fill_null(""))).astype(
        np.int32
    )


def _read_item_categories(path: Path, n_items: int, n_categories: int) -> sparse.csr_array:
    indptr = read_starts(path / "item_categories.indptr.npy", n_items)
    indices = read_array(path / "item_categories.indices.npy", shape=(int(indptr[-1]),), kinds="i")
    if len(indices) and (indices.min() < 0 or indices.max() >= n_categories):
        raise broken(path / "item_categories.indices.npy", "names categories that the revision does not have")
    ones = np.ones(len(indices), dtype=np.float32)
    return sparse.csr_array((ones, indices, indptr), shape=(n_items, n_categories), copy=False)
