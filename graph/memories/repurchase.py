"""How many of those who have an item come back to it: counted over all users, as of a time."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Bools, Float32s, Float64s, Int32s
from graph.histories import Histories

TO_ALL, TO_GROUP = 20.0, 5.0
"""Holders whom a group's rate is blended with at the rate of all items, and an item's at the rate of its group."""
NOW = 0.25
"""Length of the short window in Δ: what is bought again just now."""


@dataclass(frozen=True)
class RepurchaseRates:
    """Logs of the shares of an item's holders who had it again within Δ, and within Δ/4; float32 `[V]` each."""

    log_rate: Float32s
    log_rate_now: Float32s


def repurchase_rates(
    histories: Histories, now_us: int, horizon_us: int, group: Int32s | None = None
) -> RepurchaseRates:
    """Rates as of `now_us`, from events before it. The long one is pooled over the two newest windows of length Δ.

    Args:
        group: int32 `[V]`, what an item is like where it has too few holders itself (its deepest category); -1 none.
    """
    past = histories.until(now_us)
    short = round(NOW * horizon_us)
    newest, before = _counts(past, now_us, horizon_us), _counts(past, now_us - horizon_us, horizon_us)
    return RepurchaseRates(
        _log_shrunk(newest[0] + before[0], newest[1] + before[1], group),
        _log_shrunk(*_counts(past, now_us, short), group),
    )


def _counts(histories: Histories, end_us: int, window_us: int) -> tuple[Float64s, Float64s]:
    """By item: users who had it before the window [end - window, end), and those of them who had it in the window."""
    start_us = end_us - window_us
    when = histories.occurred_at
    held = _pairs(histories, when < start_us)
    again = csr_array(held.multiply(_pairs(histories, (when >= start_us) & (when < end_us))))
    n = histories.n_items
    return np.bincount(held.indices, minlength=n).astype(float), np.bincount(again.indices, minlength=n).astype(float)


def _pairs(histories: Histories, chosen: Bools) -> csr_array:
    """CSR `[B, V]` of ones: who has what among the chosen events."""
    ends = histories.row_of[chosen], histories.item[chosen]
    pairs = csr_array((np.ones(len(ends[0]), np.float32), ends), shape=(len(histories), histories.n_items))
    pairs.sum_duplicates()
    pairs.data[:] = 1
    return pairs


def _log_shrunk(held: Float64s, again: Float64s, group: Int32s | None) -> Float32s:
    everywhere = (again.sum() + 0.5) / (held.sum() + 1)
    expected = np.full(len(held), everywhere)
    if group is not None and len(group):
        known = group >= 0
        of_group = np.where(known, group, group.max() + 1)
        rate = (np.bincount(of_group, again) + TO_ALL * everywhere) / (np.bincount(of_group, held) + TO_ALL)
        expected[known] = rate[of_group[known]]
    return np.log((again + TO_GROUP * expected) / (held + TO_GROUP)).astype(np.float32)
