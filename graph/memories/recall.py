"""From an item-item memory and histories to distributions over the next item."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from graph.histories import Histories
from graph.memories.sparse import rows_to_distributions

NEGLIGIBLE = 1e-3
"""Items whose weight has decayed below this are not asked: at 0.6 a step that is 14 steps back."""


def recall(
    memory: csr_array, histories: Histories, *, decay: float = 1.0, now_us: NDArray[np.int64] | None = None
) -> csr_array:
    """What the memory says after each history, CSR `[B, items]`, rows summing to 1 (empty without support).

    The memory's rows of the user's items are added with weight decay^age, age in steps back from the newest step, times
    what the event says as of `now_us` [B] (None: all say as much). An item met several times counts once, where that is
    most; so `decay=1` without `now_us` is the plain sum over distinct items.
    """
    weights = history_weights(histories, decay=decay, now_us=now_us)
    # scipy would copy the whole memory to give both sides one index type: 40 ms a call instead of 1
    for part in ("indptr", "indices"):
        setattr(weights, part, getattr(weights, part).astype(memory.indices.dtype))
    return rows_to_distributions(weights @ memory)


def history_weights(histories: Histories, *, decay: float = 1.0, now_us: NDArray[np.int64] | None = None) -> csr_array:
    """The largest decay^age times what is said of each distinct item of a history, CSR `[B, items]`."""
    row = histories.row_of.astype(np.int64)
    lengths = np.diff(histories.offsets)
    newest = np.zeros(len(lengths), dtype=np.int64)
    newest[lengths > 0] = histories.step[histories.offsets[1:][lengths > 0] - 1]
    weight = np.power(decay, newest[row] - histories.step, dtype=np.float64)
    kept = weight >= NEGLIGIBLE
    if now_us is not None:
        weight *= histories.weights(now_us)
        most = np.zeros(len(lengths))
        np.maximum.at(most, row, weight)
        weight /= np.maximum(most, np.finfo(np.float64).tiny)[row]  # rows are scaled in the end: what is old stays > 0
        kept &= weight > 0
    kept &= _is_most_of_item(row, histories.item, histories.n_items, np.where(kept, weight, -1))
    return csr_array(
        (weight[kept].astype(np.float32), (row[kept], histories.item[kept])), shape=(len(lengths), histories.n_items)
    )


def _is_most_of_item(
    row: NDArray[np.int64], item: NDArray[np.int32], n_items: int, weight: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """True for the event of each (row, item) that weighs most, the newest of equal ones."""
    pair = row * n_items + item
    order = np.lexsort((weight, pair))  # stable: of equal ones the newest comes last
    is_last = np.ones(len(row), dtype=bool)
    is_last[:-1] = pair[order][1:] != pair[order][:-1]
    most = np.zeros(len(row), dtype=bool)
    most[order[is_last]] = True
    return most
