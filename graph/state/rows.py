"""Sparse matrices of which a few rows are replaced, and single entries looked up."""

import numpy as np

from graph.arrays import Bools, Int64s
from graph.sparse import Csr


def rows_of(matrix: Csr, rows: Int64s) -> Csr:
    """Those rows (ascending) as a matrix of their own; rows beyond the last one are empty."""
    inside = rows[rows < matrix.shape[0]]
    lengths = np.zeros(len(rows), np.int64)
    lengths[: len(inside)] = np.diff(matrix.indptr)[inside]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    begin = matrix.indptr[inside].astype(np.int64)
    place = np.arange(offsets[-1]) + np.repeat(begin - offsets[: len(inside)], lengths[: len(inside)])
    return Csr((matrix.data[place], matrix.indices[place], offsets), shape=(len(rows), matrix.shape[1]))


def with_rows(matrix: Csr, rows: Int64s, new: Csr, shape: tuple[int, int]) -> Csr:
    """`matrix`, grown to `shape`, in which row `rows[k]` is row k of `new`. `rows` ascend."""
    lengths = np.zeros(shape[0], np.int64)
    lengths[: matrix.shape[0]] = np.diff(matrix.indptr)
    replaced = np.zeros(shape[0], np.bool_)
    replaced[rows] = True
    kept = ~np.repeat(replaced[: matrix.shape[0]], lengths[: matrix.shape[0]])
    lengths[rows] = np.diff(new.indptr)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    fresh = np.repeat(replaced, lengths)
    stays = ~fresh
    data, indices = np.empty(offsets[-1], matrix.data.dtype), np.empty(offsets[-1], np.int32)
    data[stays], data[fresh] = matrix.data[kept], new.data
    indices[stays], indices[fresh] = matrix.indices[kept], new.indices
    return Csr((data, indices, offsets), shape=shape)


def entries_at(matrix: Csr, rows: Int64s, columns: Int64s) -> Int64s:
    """int64 [n]: the whole numbers that stand there, 0 where nothing does. Columns are sorted within each row."""
    found = np.zeros(len(rows), np.int64)
    if not matrix.nnz:
        return found
    inside = np.minimum(rows, matrix.shape[0] - 1)
    begin = matrix.indptr[inside].astype(np.int64)
    end = np.where(rows < matrix.shape[0], matrix.indptr[inside + 1], begin).astype(np.int64)
    low, high = begin, end
    while (open_ := low < high).any():  # a binary search in all rows at once
        middle = (low + high) // 2
        smaller = matrix.indices[np.minimum(middle, matrix.nnz - 1)] < columns
        low, high = np.where(open_ & smaller, middle + 1, low), np.where(open_ & ~smaller, middle, high)
    place = np.minimum(low, matrix.nnz - 1)
    there: Bools = (low < end) & (matrix.indices[place] == columns)
    found[there] = matrix.data[place[there]]
    return found


def grown(matrix: Csr, shape: tuple[int, int]) -> Csr:
    """The same entries in a larger matrix."""
    more = np.full(shape[0] - matrix.shape[0], matrix.indptr[-1], matrix.indptr.dtype)
    return Csr((matrix.data, matrix.indices, np.concatenate([matrix.indptr, more])), shape=shape)
