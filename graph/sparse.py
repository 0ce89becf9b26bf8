"""Sparse matrices whose rows keep only what is strongest in them."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from scipy.sparse import csr_array, vstack

from graph.arrays import Bools, Float32s, Float64s
from graph.storage.errors import BadInputError
from graph.threads import in_threads

Csr: TypeAlias = csr_array

BLOCK_PRODUCTS = 8_000_000
"""Multiplications a block of rows may cost: bounds the memory of one unpruned block to some 300 MB on any data."""


def product_in_blocks(left: Csr, right: Csr, prune: Callable[[Csr, int], Csr]) -> Csr:
    """`prune(left @ right)` a block of rows at a time, as float32, so that the full product never exists.

    prune: is given some rows of the product, and the number of the first of them.
    """

    def block(begin: int, end: int) -> Csr:
        return prune(csr_array(left[begin:end] @ right), begin)

    cost = left @ np.diff(right.indptr).astype(np.float64)
    blocks = list(in_threads(lambda ends: block(*ends), row_blocks(cost)))
    return stacked([block.astype(np.float32) for block in blocks], (left.shape[0], right.shape[1]))


def stacked(blocks: Sequence[Csr], shape: tuple[int, int]) -> Csr:
    """Blocks of rows as one matrix of that shape; float32 where there are none."""
    return Csr(vstack(blocks, format="csr")) if blocks else Csr(shape, dtype=np.float32)


def row_blocks(cost: Float64s) -> Iterable[tuple[int, int]]:
    """[begin, end) of blocks of rows that cost BLOCK_PRODUCTS together, or are a single row. `cost` [rows]."""
    total = np.concatenate(([0], np.cumsum(cost)))
    bounds, rows = [0], len(cost)
    while bounds[-1] < rows:
        stop = int(np.searchsorted(total, total[bounds[-1]] + BLOCK_PRODUCTS, side="right")) - 1
        bounds.append(min(max(stop, bounds[-1] + 1), rows))
    return pairwise(bounds)


def without_diagonal(rows: Csr, first: int) -> Csr:
    """Rows `first`, `first` + 1, … of a square matrix, with zeros where an item meets itself; changed in place."""
    number = np.arange(first, first + rows.shape[0], dtype=rows.indices.dtype)
    rows.data[np.repeat(number, np.diff(rows.indptr)) == rows.indices] = 0
    return rows


def keep_strongest(matrix: Csr, n: int) -> Csr:
    """The n largest entries of each row, of equal ones those of smaller columns; zeros go. Weights are >= 0, float32.

    Sorting is by one integer per entry, (row, weight falling): the bits of a float32 that is not negative order like
    the number, and a plain sort of integers is several times faster than an argsort over two columns.
    """
    if n < 1:
        raise BadInputError(f"cannot keep the strongest {n} of a row", hint="Keep at least 1.")
    weight = np.ascontiguousarray(matrix.data, np.float32)
    if not (weight >= 0).all():  # also catches NaN
        raise BadInputError("a sparse matrix with negative or undefined weights has no strongest entries")
    bits = weight.view(np.uint32)
    lengths = np.diff(matrix.indptr)
    least = np.ones(matrix.shape[0], np.uint32)  # bits of the weakest weight that stays: anything above zero
    full = lengths > n
    if full.any():
        row = np.repeat(np.arange(matrix.shape[0], dtype=np.uint64), lengths)
        falling = np.sort(row << np.uint64(32) | ~bits)
        nth = matrix.indptr[:-1][full] + n - 1
        least[full] = np.maximum(~falling[nth].astype(np.uint32), 1)
    kept = _where(matrix, weight, bits >= np.repeat(least, lengths))
    kept.sort_indices()

    # A row may hold more than n now, when several weigh exactly as much as the weakest that stays.
    lengths = np.diff(kept.indptr)
    level = kept.data.view(np.uint32) == np.repeat(least, lengths)
    count = np.concatenate([[0], np.cumsum(level)])
    level_in_row = count[kept.indptr[1:]] - count[kept.indptr[:-1]]
    room = n - (lengths - level_in_row)
    rank = count[:-1] - np.repeat(count[kept.indptr[:-1]], lengths)
    return _where(kept, kept.data, ~level | (rank < np.repeat(room, lengths)))


def _where(matrix: Csr, weight: Float32s, mask: Bools) -> Csr:
    offsets = np.concatenate([[0], np.cumsum(mask)])[matrix.indptr]
    return Csr((weight[mask], matrix.indices[mask], offsets), shape=matrix.shape)
