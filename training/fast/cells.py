"""Item vectors in cells of like ones: the net's normaliser and its strongest items from a few cells of them.

    log Z = log Σ_i e^(τ u·v_i + prior_i),  a cell's share of it    W e^(τ u·μ + τ² σ² / 2)

W is the sum of e^prior over a cell's items, μ their mean vector weighed by it, σ² the mean square distance from it per
dimension: the sum over a normal distribution around μ. Cells that may hold much are looked at item by item, the others
are taken at their estimate. Cells are those of spherical k-means (inverted file, Sivic & Zisserman 2003).
"""

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from graph.arrays import Float32s, Int32s, Int64s
from graph.ranges import offsets_of
from training.artifact_arrays import read_array, read_starts, write_array
from training.artifact_manifest import broken
from training.fast.compiled import sealed

WHOLE = 6_000
"""A catalog of no more items is one cell, which is looked at whole."""
CELLS_PER_ROOT = 4.0
"""1,058 cells of 66 items at 70,000 items, 4,000 of 250 at a million."""
ROUNDS = 8
TRAINED_ON = 100
"""Items a cell at most that k-means looks at."""


@dataclass(frozen=True, eq=False)
class Cells:
    """V items in C cells. `item` [V]: cell by cell, `offsets` [C + 1]; `vectors` [V, dim], `prior` [V] in that order.

    `place` [V]: where each item stands. `center` [C, dim]; `log_mass` [C]: log W + τ² σ² / 2.
    """

    item: Int32s
    place: Int32s
    offsets: Int64s
    vectors: Float32s
    prior: Float32s
    center: Float32s
    log_mass: Float32s
    temperature: np.float32


def write_cells(folder: Path, cells: Cells) -> None:
    """What would take k-means at every start, and memory in every process."""
    for name in ("item", "offsets", "vectors", "prior", "center", "log_mass", "temperature"):
        write_array(folder / f"{name}.npy", np.atleast_1d(getattr(cells, name)))


def read_cells(folder: Path, n_items: int, dim: int) -> Cells | None:
    """None without such a folder: of few vectors, or in a revision of an older version. Raises ArtifactError."""
    if not folder.is_dir():
        return None

    def path(name: str) -> Path:
        return folder / f"{name}.npy"

    item = read_array(path("item"), shape=(n_items,), kinds="i")
    place = np.full(n_items, -1, np.int32)
    if len(item) and not 0 <= item.min() <= item.max() < n_items:
        raise broken(path("item"), "names rows that there are not")
    place[item] = np.arange(n_items, dtype=np.int32)
    if (place < 0).any():
        raise broken(path("item"), "does not hold each row once")
    center = read_array(path("center"), shape=(None, dim), kinds="f")
    offsets = read_starts(path("offsets"), len(center))
    if offsets[-1] != n_items:
        raise broken(path("offsets"), "does not end with the last row")
    return Cells(
        item=sealed(item),
        place=sealed(place),
        offsets=sealed(offsets),
        vectors=sealed(read_array(path("vectors"), shape=(n_items, dim), kinds="f")),
        prior=sealed(read_array(path("prior"), shape=(n_items,), kinds="f")),
        center=center,
        log_mass=read_array(path("log_mass"), shape=(len(center),), kinds="f"),
        temperature=np.float32(read_array(path("temperature"), shape=(1,), kinds="f")[0]),
    )


def cells_of(vectors: Float32s, prior: Float32s | None, temperature: float, *, few: int) -> Cells:
    """`vectors` [V, dim], unit length or zero; `prior` [V], added to the logits; `temperature` τ.

    few: so many items are one cell, which is looked at whole, so that everything is exact.
    """
    n_items, dim = vectors.shape
    prior = np.zeros(n_items, np.float32) if prior is None else prior
    cell = np.zeros(n_items, np.int64) if n_items <= few else _nearest_centers(vectors)
    n_cells = int(cell.max(initial=0)) + 1
    order = np.argsort(cell, kind="stable")
    share = np.exp(prior.astype(np.float64))
    mass = np.bincount(cell, share, minlength=n_cells)
    sums = np.stack([np.bincount(cell, share * column, minlength=n_cells) for column in vectors.T], axis=1)
    mean = sums / np.maximum(mass, 1e-300)[:, None]
    away = ((vectors - mean[cell]) ** 2).sum(axis=1)
    variance = np.bincount(cell, share * away, minlength=n_cells) / np.maximum(mass, 1e-300) / dim
    place = np.empty(n_items, np.int32)
    place[order] = np.arange(n_items, dtype=np.int32)
    return Cells(
        item=sealed(order.astype(np.int32)),
        place=sealed(place),
        offsets=sealed(offsets_of(np.bincount(cell, minlength=n_cells))),
        vectors=sealed(vectors[order].astype(np.float32)),
        prior=sealed(prior[order].astype(np.float32)),
        center=mean.astype(np.float32),
        log_mass=(np.log(np.maximum(mass, 1e-30)) + temperature**2 * variance / 2).astype(np.float32),
        temperature=np.float32(temperature),
    )


def cells_where_many(vectors: Float32s, prior: Float32s | None = None, temperature: float = 1.0) -> Cells | None:
    """None of vectors so few that they are looked at whole."""
    return None if len(vectors) <= WHOLE else cells_of(vectors, prior, temperature, few=WHOLE)


def _nearest_centers(vectors: Float32s) -> Int64s:
    """[V]: the cell of each item, none of them empty."""
    n_cells = min(round(CELLS_PER_ROOT * np.sqrt(len(vectors))), len(vectors))
    options = {"spherical": True, "seed": 0, "min_points_per_centroid": 1, "max_points_per_centroid": TRAINED_ON}
    means = faiss.Kmeans(vectors.shape[1], n_cells, niter=ROUNDS, **options)
    means.train(np.ascontiguousarray(vectors))
    _, nearest = means.index.search(np.ascontiguousarray(vectors), 1)
    return np.unique(nearest[:, 0], return_inverse=True)[1].astype(np.int64)
