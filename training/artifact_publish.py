"""Publishing: a folder is written under another name, flushed to disk and renamed into place, once and for all."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy import sparse

from graph.ids import IdMap
from graph.memories.pace import Pace
from graph.storage.errors import ArtifactError, ConflictError
from graph.storage.times import now_us
from graph.sync import sync, sync_tree
from training.artifact_arrays import write_array, write_json, write_table
from training.artifact_manifest import (
    MANIFEST,
    MODEL_FILES,
    KindEntry,
    file_entry,
    model_folder,
    revision_folder,
    write_manifest,
)
from training.calibration import Calibration, write_calibration
from training.code_revision import git_revision
from training.fast.cells import Cells, write_cells
from training.gate import Gate, write_gate
from training.memories import Memory, write_memories
from training.ranker import Ranker, write_ranker
from training.segments import Segments, write_segments


@dataclass(frozen=True)
class Revision:
    """What goes into a revision's folder: V items, C categories, U users, K interests a user. See `Artifact`."""

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
    kinds: tuple[KindEntry, ...]
    as_of: int
    known_at: int
    snapshot_hash: str
    vector_space: str
    config: dict[str, Any]
    metrics: dict[str, float]
    calibration: Calibration = field(default_factory=Calibration)
    cells: Cells | None = None
    user_cells: Cells | None = None


def publish_model(root: Path, model: int, weights: dict[str, torch.Tensor], config: dict[str, Any]) -> Path:
    """Writes `m7/` with the weights and the net's settings. Raises ConflictError when it is there already."""

    def write(folder: Path) -> None:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / MODEL_FILES[0]
        )
        write_json(folder / MODEL_FILES[1], config)

    return _publish(model_folder(root, model), write)


def publish_revision(root: Path, model: int, number: int, revision: Revision) -> Path:
    """Writes `m7.12/` below `root`. Raises ConflictError when it exists, ArtifactError on non-finite vectors."""
    shared = model_folder(root, model)
    if not all((shared / name).is_file() for name in MODEL_FILES):
        raise ArtifactError(f"{shared} has no weights yet.", hint="Publish the model before its revisions.")
    for name in ("item_vectors", "category_vectors", "user_vectors", "user_weights", "popularity"):
        if not np.isfinite(getattr(revision, name)).all():
            raise ArtifactError(f"{name} holds numbers that are not finite.", hint="Train the model again.")

    def write(folder: Path) -> None:
        _write_content(folder, revision)
        files = {p.relative_to(folder).as_posix(): file_entry(p) for p in sorted(folder.rglob("*")) if p.is_file()}
        manifest = {
            "model": model,
            "revision": number,
            "created_at": now_us(),
            "git_revision": git_revision(),
            "n_items": len(revision.items),
            "n_users": len(revision.users),
            "n_categories": len(revision.categories),
            "dim": revision.item_vectors.shape[1],
            "files": files,
            "model_files": {name: file_entry(shared / name) for name in MODEL_FILES},
            **{name: getattr(revision, name) for name in _MANIFEST_FIELDS},
        }
        write_manifest(folder / MANIFEST, manifest)

    return _publish(revision_folder(root, model, number), write)


def _publish(target: Path, write: Callable[[Path], None]) -> Path:
    if target.exists():
        raise ConflictError(
            f"{target} is published already.", hint="Published folders never change; take the next number."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # The leading dot keeps a folder that a kill left behind from being taken for a revision.
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        write(folder)
        folder.chmod(0o755)
        sync_tree(folder)
        folder.rename(target)
    except OSError as error:
        raise ArtifactError(
            f"{target} could not be written ({error}).", hint="Free some space or check the rights."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sync(target.parent)
    return target


def _write_content(folder: Path, r: Revision) -> None:
    items = {
        "external_id": r.items.external,
        "id": r.items.surrogate,
        "name": r.item_names,
        "available": r.item_available,
    }
    write_table(folder / "items.arrow", pa.table(items))
    parent = pa.array(r.category_parent, mask=r.category_parent < 0)
    categories = {
        "external_id": r.categories.external,
        "id": r.categories.surrogate,
        "name": r.category_names,
        "parent": r.categories.external.take(parent),
    }
    write_table(folder / "categories.arrow", pa.table(categories))
    write_table(folder / "users.arrow", pa.table({"external_id": r.users.external, "id": r.users.surrogate}))
    write_array(folder / "item_categories.indptr.npy", r.item_categories.indptr.astype(np.int32))
    write_array(folder / "item_categories.indices.npy", r.item_categories.indices.astype(np.int32))
    for name in ("item_vectors", "category_vectors", "user_vectors", "user_weights", "popularity"):
        write_array(folder / f"{name}.npy", getattr(r, name).astype(np.float32, copy=False))
    write_memories(folder, r.memories)
    write_gate(folder, r.gate)
    write_ranker(folder, r.ranker, r.pace)
    write_array(folder / "novelty.npy", np.array([r.novelty]))
    write_calibration(folder, r.calibration)
    write_segments(folder, r.segments)
    for name, cells in (("cells", r.cells), ("user_cells", r.user_cells)):
        if cells is not None:
            write_cells(folder / name, cells)


_MANIFEST_FIELDS = ("kinds", "as_of", "known_at", "snapshot_hash", "vector_space", "config", "metrics")
