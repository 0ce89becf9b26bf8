"""Sparse item-item matrices: each row keeps what is strongest in it."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array

from graph.sparse import product_in_blocks, without_diagonal


def pruned_product(left: Any, right: Any, *, keep: int, diagonal: bool = False, scale: Any = None) -> csr_array:
    """The strongest `keep` entries of each row of `left @ right`, as float32.

    Args:
        left: CSR `[rows, inner]`.
        right: CSR `[inner, columns]`.
        keep: entries left in a row.
        diagonal: keep entries (i, i); an item says nothing about itself in most memories.
        scale: float `[columns]`, multiplies the columns before pruning.
    """

    def prune(rows: csr_array, first: int) -> csr_array:
        if scale is not None:
            rows.data *= scale[rows.indices]
        return strongest(rows if diagonal else without_diagonal(rows, first), keep)

    return product_in_blocks(left, right, prune)


def strongest(matrix: Any, keep: int) -> csr_array:
    """Each row's `keep` largest entries above zero, columns in order. Only rows that are too long cost a partition."""
    wanted = matrix.data > 0
    lengths = np.diff(matrix.indptr)
    for row in np.flatnonzero(lengths > keep):
        begin, end = matrix.indptr[row], matrix.indptr[row + 1]
        weakest = np.argpartition(matrix.data[begin:end], end - begin - keep)[: end - begin - keep]
        wanted[begin + weakest] = False
    rows = np.repeat(np.arange(matrix.shape[0]), lengths)[wanted]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(rows, minlength=matrix.shape[0]))))
    pruned = csr_array(
        (matrix.data[wanted].astype(np.float32), matrix.indices[wanted].astype(np.int32), indptr.astype(np.int64)),
        shape=matrix.shape,
    )
    pruned.sort_indices()
    return pruned


def rows_to_distributions(matrix: Any) -> csr_array:
    """Each row divided by its sum; empty rows stay empty: a memory without support says nothing."""
    sums = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    share = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    scaled = matrix.data * np.repeat(share, np.diff(matrix.indptr))
    return csr_array((scaled.astype(np.float32), matrix.indices, matrix.indptr), shape=matrix.shape)
