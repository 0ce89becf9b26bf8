"""Item vectors in cells of like ones: the net's normaliser and its strongest items from a few cells of them.

    log Z = log Σ_i e^(τ u·v_i + prior_i),  a cell's share of it    W e^(τ u·μ + τ² σ² / 2)

W is the sum of e^prior over a cell's items, μ their mean vector weighed by it, σ² the mean square distance from it per
dimension: the sum over a normal distribution around μ. Cells that may hold much are looked at item by item, the others
are taken at their estimate. Cells are those of spherical k-means (inverted file, Sivic & Zisserman 2003).
"""

from dataclasses import dataclass

import faiss
import numpy as np

from graph.arrays import Float32s, Int32s, Int64s
from graph.ranges import offsets_of

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
        item=order.astype(np.int32),
        place=place,
        offsets=offsets_of(np.bincount(cell, minlength=n_cells)),
        vectors=np.ascontiguousarray(vectors[order], np.float32),
        prior=prior[order].astype(np.float32),
        center=mean.astype(np.float32),
        log_mass=(np.log(np.maximum(mass, 1e-30)) + temperature**2 * variance / 2).astype(np.float32),
        temperature=np.float32(temperature),
    )


def _nearest_centers(vectors: Float32s) -> Int64s:
    """[V]: the cell of each item, none of them empty."""
    n_cells = round(CELLS_PER_ROOT * np.sqrt(len(vectors)))
    options = {"spherical": True, "seed": 0, "min_points_per_centroid": 1, "max_points_per_centroid": TRAINED_ON}
    means = faiss.Kmeans(vectors.shape[1], n_cells, niter=ROUNDS, **options)
    means.train(np.ascontiguousarray(vectors))
    _, nearest = means.index.search(np.ascontiguousarray(vectors), 1)
    return np.unique(nearest[:, 0], return_inverse=True)[1].astype(np.int64)
