"""EASE: the linear item-item model with a closed form (Steck 2019), B = -P / diag(P) with P = (XᵀX + λI)⁻¹."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, lapack, solve_triangular
from scipy.sparse import coo_array, csr_array

from graph.histories import Histories
from graph.memories.incidence import users_by_items
from graph.memories.sparse import strongest
from graph.storage.errors import BadInputError

Float32 = NDArray[np.float32]
RowsOf = Callable[[int, int], Float32]
BLOCK_ROWS = 1_024


@dataclass(frozen=True)
class Inverse:
    """P = (XᵀX + λI)⁻¹ over n items, never more of it in memory than asked for.

    `items` int64 `[n]`; `diagonal` float32 `[n]`; `rows_of(start, stop)` those rows of P; `product(x)` is x · P for
    rows x, sparse or dense `[B, n]`.
    """

    items: NDArray[np.int64]
    diagonal: Float32
    rows_of: RowsOf
    product: Callable[[Any], Float32]

    def scores(self, owned: Any) -> Float32:
        """Exact x · B = x - x · P / diag(P), negative weights included, dense `[B, n]`; B = I - P / diag(P)."""
        x = csr_array(owned[:, self.items])
        return np.asarray(x.toarray() - self.product(x) / self.diagonal, dtype=np.float32)


def fit_inverse(histories: Histories, *, l2: float, min_users: int, max_items: int) -> Inverse | None:
    """Over the `max_items` most owned items with at least `min_users` users; None where there are none.

    Costs O(n³) time and one n × n matrix for n items, or O(n² · users) and a users × n matrix where users are fewer.
    """
    seen = users_by_items(histories)
    owners = np.bincount(seen.indices, minlength=histories.n_items)
    order = np.argsort(-owners, kind="stable")[:max_items]
    chosen = np.sort(order[owners[order] >= min_users])
    if len(chosen) == 0:
        return None
    X = csr_array(seen[:, chosen])
    X = X[np.diff(X.indptr) > 0]
    return Inverse(chosen, *(_inverse_by_users if X.shape[0] < X.shape[1] else _inverse_by_items)(X, l2))


def ease(
    histories: Histories, *, l2: float = 200.0, min_users: int = 2, max_items: int = 12_500, keep: int = 1_000
) -> csr_array:
    """The strongest positive weights of each row of B, CSR `[items, items]`; row i says how much i speaks for each j.

    Rows and columns of items that `fit_inverse` leaves out are empty. Float32.
    """
    inverse = fit_inverse(histories, l2=l2, min_users=min_users, max_items=max_items)
    if inverse is None:
        return csr_array((histories.n_items, histories.n_items), dtype=np.float32)
    chosen, diagonal = inverse.items, inverse.diagonal

    rows, columns, weights = [], [], []
    for start in range(0, len(chosen), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(chosen))
        block = inverse.rows_of(start, stop) / -diagonal
        block[np.arange(stop - start), np.arange(start, stop)] = 0
        kept = strongest(csr_array(np.maximum(block, 0)), keep).tocoo()
        rows.append(chosen[kept.coords[0] + start])
        columns.append(chosen[kept.coords[1]])
        weights.append(kept.data)
    coords = (np.concatenate(rows), np.concatenate(columns))
    return csr_array(coo_array((np.concatenate(weights), coords), shape=(histories.n_items, histories.n_items)))


Parts = tuple[Float32, RowsOf, Callable[[Any], Float32]]


def _inverse_by_items(X: Any, l2: float) -> Parts:
    """Diagonal and rows of (XᵀX + λI)⁻¹ from its Cholesky factor, in place: LAPACK potrf, potri."""
    gram = np.asfortranarray((X.T @ X).toarray(), dtype=np.float32)
    gram[np.diag_indices_from(gram)] += l2
    factor, failed = lapack.spotrf(gram, lower=0, overwrite_a=1)
    inverse, failed_too = lapack.spotri(factor, lower=0, overwrite_c=1)
    if failed or failed_too:
        raise BadInputError(
            f"EASE with λ = {l2} has no positive definite matrix.", hint="Choose a larger λ (l2), e.g. 200."
        )

    # LAPACK fills the upper triangle alone; mirrored in place, block by block, there is never a second matrix.
    for start in range(0, len(inverse), BLOCK_ROWS):
        stop = min(start + BLOCK_ROWS, len(inverse))
        inverse[start:stop, :start] = inverse[:start, start:stop].T
        square = np.triu(inverse[start:stop, start:stop])
        inverse[start:stop, start:stop] = square + np.triu(square, 1).T

    def rows_of(start: int, stop: int) -> Float32:
        return np.array(inverse[start:stop])

    def product(x: Any) -> Float32:
        return np.asarray(x @ inverse, dtype=np.float32)

    return np.array(np.diag(inverse)), rows_of, product


def _inverse_by_users(X: Any, l2: float) -> Parts:
    """The same through the smaller users × users matrix (Woodbury): (I - XᵀK⁻¹X) / λ with K = XXᵀ + λI."""
    K = (X @ X.T).toarray().astype(np.float64)
    K[np.diag_indices_from(K)] += l2
    Y = solve_triangular(cholesky(K, lower=True), X.toarray(), lower=True).astype(np.float32)

    def rows_of(start: int, stop: int) -> Float32:
        block = Y[:, start:stop].T @ Y
        block *= -1 / l2
        block[np.arange(stop - start), np.arange(start, stop)] += 1 / l2
        return np.asarray(block, dtype=np.float32)

    def product(x: Any) -> Float32:
        return np.asarray((x.toarray() - (x @ Y.T) @ Y) / l2, dtype=np.float32)

    return ((1 - np.einsum("ui,ui->i", Y, Y)) / l2).astype(np.float32), rows_of, product
