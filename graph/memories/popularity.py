"""What is bought at all, and what is bought now."""

import numpy as np
from numpy.typing import NDArray

from graph.histories import Histories
from graph.storage.times import DAY_US


def popularity(
    histories: Histories, *, now_us: int, half_life_days: float | None = None, window_days: float | None = None
) -> NDArray[np.float32]:
    """Share of each item in the events before `now_us`, float32 `[items]`, summing to 1 (all zero without events).

    With `window_days` only events in `[now_us - window, now_us)` count; with `half_life_days` one that old counts half.
    """
    age_us = now_us - histories.occurred_at
    weight = (age_us > 0).astype(np.float64)
    if window_days is not None:
        weight[age_us > window_days * DAY_US] = 0
    if half_life_days is not None:
        weight *= np.exp2(-np.maximum(age_us, 0) / (half_life_days * DAY_US))
    counts = np.bincount(histories.item, weights=weight, minlength=histories.n_items)
    total = counts.sum()
    return (counts / total if total > 0 else counts).astype(np.float32)
