"""What this user repeats: the decayed frequency of the user's own items."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graph.histories import Histories
from graph.memories.sparse import rows_to_distributions
from graph.storage.times import DAY_US


def own_frequency(
    histories: Histories, now_us: NDArray[np.int64], *, half_life_days: float | None = 120.0
) -> csr_array:
    """Σ over a user's events of what they say · 2^(-age/half-life) by item, rows over their sum, CSR `[B, items]`.

    Args:
        histories: B users.
        now_us: int64 `[B]`, the moment asked for; later events are the caller's error and count as if at `now_us`.
        half_life_days: None does not fade.
    """
    row = histories.row_of
    weight = histories.weights(now_us)
    if half_life_days is not None:
        newest = np.full(len(now_us), np.iinfo(np.int64).min)
        np.maximum.at(newest, row, histories.occurred_at)
        # Ages count from the user's newest event: the row's sum cancels the difference, and years do not underflow.
        reference = np.minimum(now_us, newest)[row]
        weight *= np.exp2(-np.maximum(reference - histories.occurred_at, 0) / (half_life_days * DAY_US))
    matrix = csr_array((weight, (row, histories.item)), shape=(len(histories), histories.n_items), dtype=np.float64)
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return rows_to_distributions(matrix)
