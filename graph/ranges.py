"""Many ranges at once, as the rows of a compressed table (CSR) are."""

from typing import Any

import numpy as np
import numpy.typing as npt

from graph.arrays import Int64s

Integers = npt.NDArray[np.integer[Any]]


def offsets_of(lengths: Integers) -> Int64s:
    """int64 [n + 1]: where each of n ranges that lie one behind the other begins, and where the last ends."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def places(begin: Integers, lengths: Integers) -> Int64s:
    """int64: begin[0], begin[0] + 1, … as many as lengths[0]; then those from begin[1] on, …"""
    ends = np.cumsum(lengths, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    found: Int64s = np.arange(total) + np.repeat(begin - ends + lengths, lengths)
    return found
