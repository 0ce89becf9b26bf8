"""Sparse matrices of which a few rows are replaced, or a few entries added to, and single entries looked up."""

from collections.abc import Callable

import numpy as np

from graph.arrays import Bools, Int64s
from graph.ranges import offsets_of, places
from graph.sparse import Csr


def rows_of(matrix: Csr, rows: Int64s) -> Csr:
    """Those rows (ascending) as a matrix of their own."""
    lengths = np.diff(matrix.indptr)[rows]
    place = places(matrix.indptr[rows], lengths)
    shape = (len(rows), matrix.shape[1])
    return Csr((matrix.data[place], matrix.indices[place], offsets_of(lengths)), shape=shape)


def with_rows(matrix: Csr, rows: Int64s, new: Csr, shape: tuple[int, int]) -> Csr:
    """`matrix`, grown to `shape`, in which row `rows[k]` is row k of `new`. `rows` ascend."""
    lengths = np.zeros(shape[0], np.int64)
    lengths[: matrix.shape[0]] = np.diff(matrix.indptr)
    replaced = np.zeros(shape[0], np.bool_)
    replaced[rows] = True
    kept = ~np.repeat(replaced[: matrix.shape[0]], lengths[: matrix.shape[0]])
    lengths[rows] = np.diff(new.indptr)
    offsets = offsets_of(lengths)
    fresh = np.repeat(replaced, lengths)
    stays = ~fresh
    data, indices = np.empty(offsets[-1], matrix.data.dtype), np.empty(offsets[-1], np.int32)
    data[stays], data[fresh] = matrix.data[kept], new.data
    indices[stays], indices[fresh] = matrix.indices[kept], new.indices
    return Csr((data, indices, offsets), shape=shape)


def plus_entries(matrix: Csr, few: Csr) -> Csr:
    """`matrix` + `few`, grown to the shape of `few`: the time of a copy, whatever is added. Columns are sorted."""
    matrix = grown(matrix, few.shape)
    if not few.nnz:
        return matrix
    rows = np.repeat(np.arange(few.shape[0]), np.diff(few.indptr))
    place, there = _places(matrix, rows, few.indices)
    data = matrix.data.copy()
    data[place[there]] += few.data[there]
    if there.all():
        return Csr((data, matrix.indices, matrix.indptr), shape=few.shape)
    new = ~there
    at = place[new] + np.arange(np.count_nonzero(new))  # places among all, for each comes after those before it
    stays = np.ones(len(data) + len(at), np.bool_)
    stays[at] = False
    values, indices = np.empty(len(stays), data.dtype), np.empty(len(stays), np.int32)
    values[stays], values[at] = data, few.data[new]
    indices[stays], indices[at] = matrix.indices, few.indices[new]
    more = np.cumsum(np.bincount(rows[new] + 1, minlength=few.shape[0] + 1))
    return Csr((values, indices, matrix.indptr + more), shape=few.shape)


def entries_at(matrix: Csr, rows: Int64s, columns: Int64s) -> Int64s:
    """int64 [n]: the whole numbers that stand there, 0 where nothing does. Columns are sorted within each row."""
    found = np.zeros(len(rows), np.int64)
    place, there = _places(matrix, rows, columns)
    found[there] = matrix.data[place[there]]
    return found


def _places(matrix: Csr, rows: Int64s, columns: Int64s) -> tuple[Int64s, Bools]:
    """(where each entry stands or would stand, whether it does)."""
    begin, end = (matrix.indptr[rows + part].astype(np.int64) for part in (0, 1))
    place = bisected(begin, end, lambda middle: matrix.indices[middle] < columns)
    there: Bools = place < end
    there[there] = matrix.indices[place[there]] == columns[there]
    return place, there


def bisected(low: Int64s, high: Int64s, precedes: Callable[[Int64s], Bools]) -> Int64s:
    """int64 [n]: the first place of each range [low, high) that does not precede, `high` where all do.

    `precedes` is asked of one place for each range, which lies in it wherever the answer counts.
    """
    while (open_ := low < high).any():
        middle = np.where(open_, (low + high) // 2, 0)
        before = precedes(middle)
        low, high = np.where(open_ & before, middle + 1, low), np.where(open_ & ~before, middle, high)
    return low


def grown(matrix: Csr, shape: tuple[int, int]) -> Csr:
    """The same entries in a larger matrix; the matrix itself where it is as large already."""
    if matrix.shape == shape:
        return matrix
    more = np.full(shape[0] - matrix.shape[0], matrix.indptr[-1], matrix.indptr.dtype)
    return Csr((matrix.data, matrix.indices, np.concatenate([matrix.indptr, more])), shape=shape)


def cut(matrix: Csr, shape: tuple[int, int]) -> Csr:
    """The first rows and columns, behind which nothing stands."""
    if matrix.shape == shape:
        return matrix
    return Csr((matrix.data, matrix.indices, matrix.indptr[: shape[0] + 1]), shape=shape)
