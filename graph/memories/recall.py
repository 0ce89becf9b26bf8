"""From an item-item memory and histories to distributions over the next item."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graph.histories import Histories
from graph.memories.sparse import rows_to_distributions

NEGLIGIBLE = 1e-3
"""Items whose weight has decayed below this are not asked: at 0.6 a step that is 14 steps back."""


def recall(memory: csr_array, histories: Histories, *, decay: float = 1.0) -> csr_array:
    """What the memory says after each history, CSR `[B, items]`, rows summing to 1 (empty without support).

    The memory's rows of the user's items are added with weight decay^age, age in steps back from the newest step.
    An item met several times counts once, at its newest; so `decay=1` is the plain sum over distinct items.
    """
    weights = history_weights(histories, decay=decay)
    # scipy would copy the whole memory to give both sides one index type: 40 ms a call instead of 1
    for part in ("indptr", "indices"):
        setattr(weights, part, getattr(weights, part).astype(memory.indices.dtype))
    return rows_to_distributions(weights @ memory)


def history_weights(histories: Histories, *, decay: float = 1.0) -> csr_array:
    """decay^age of each distinct item of a history, CSR `[B, items]`."""
    row = histories.row_of.astype(np.int64)
    lengths = np.diff(histories.offsets)
    newest = np.zeros(len(lengths), dtype=np.int64)
    newest[lengths > 0] = histories.step[histories.offsets[1:][lengths > 0] - 1]
    weight = np.power(decay, newest[row] - histories.step, dtype=np.float64)
    kept = (weight >= NEGLIGIBLE) & _is_last_of_item(row, histories.item, histories.n_items)
    return csr_array(
        (weight[kept].astype(np.float32), (row[kept], histories.item[kept])), shape=(len(lengths), histories.n_items)
    )


def _is_last_of_item(row: NDArray[np.int64], item: NDArray[np.int32], n_items: int) -> NDArray[np.bool_]:
    """True for the newest event of each (row, item)."""
    _, from_the_end = np.unique((row * n_items + item)[::-1], return_index=True)
    last = np.zeros(len(row), dtype=bool)
    last[len(row) - 1 - from_the_end] = True
    return last
