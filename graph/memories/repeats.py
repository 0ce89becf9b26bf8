"""What this user will have again: p(own item | user), a logistic of when and how often, and of how the item repeats.

    histories ─┬─ own items ── how often, how long ago, is it due ──┐
               └─ rates (all users) ── how many come back to it ────┴─ logistic ── p, rows divided by their sum

All times are in units of the horizon Δ (`horizon_us`), the length of the window that is asked about, so that weights
mean the same in a shop of daily and in one of yearly purchases. Weights are learned once (`repeats_fit`), rates are
counted anew from the events of each revision (`repurchase_rates`). Events of one item in one step count once.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Float32s, Float64s, Int32s, Int64s
from graph.histories import Histories
from graph.memories.repurchase import RepurchaseRates
from graph.memories.sparse import rows_to_distributions

FEATURES = (
    "log recent", "log recent ^2", "log lately", "log steps", "log due", "log due ^2",
    "log rate", "log rate now", "log user recent", "log user lately",
)  # fmt: skip
RECENT, LATELY = 1.0, 4.0
"""Half-lives of the decayed counts, in Δ."""
SHORTEST, TYPICAL = 1 / 28, 0.5
"""In Δ: added to the time since the last step and to the span of all of them, for what happened once, or just now."""
ITEM_FLOOR, USER_FLOOR = 0.01, 0.1
"""Added to decayed counts before the logarithm."""


@dataclass(frozen=True)
class RepeatWeights:
    """logit p = bias + Σ weight · (feature - mean) / scale, float64 `[10]` each, in the order of `FEATURES`."""

    horizon_us: int
    bias: float
    weight: Float64s
    mean: Float64s
    scale: Float64s

    def probability(self, features: Float32s) -> Float64s:
        """p that the item comes again within Δ, float64 `[P]` for features `[P, 10]`."""
        logit = features @ (self.weight / self.scale) + (self.bias - (self.weight * self.mean / self.scale).sum())
        return np.asarray(1 / (1 + np.exp(-np.clip(logit, -50, 50))), dtype=np.float64)


def recall_repeats(histories: Histories, now_us: Int64s, weights: RepeatWeights, rates: RepurchaseRates) -> csr_array:
    """p of each own item, rows divided by their sum: CSR `[B, V]`, an empty row without history.

    Args:
        histories: B users, nothing later than asked.
        now_us: int64 `[B]`, the moment asked for.
    """
    row, item, features = own_items(histories, now_us, rates, weights.horizon_us)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(histories)))])
    p = csr_array((weights.probability(features), item, indptr), shape=(len(histories), histories.n_items))
    return rows_to_distributions(p)


def own_items(
    histories: Histories, now_us: Int64s, rates: RepurchaseRates, horizon_us: int
) -> tuple[Int64s, Int32s, Float32s]:
    """Row, item `[P]` and features `[P, 10]` of every distinct item of every row, sorted by row, then item."""
    row = histories.row_of.astype(np.int64)
    age = np.maximum(now_us[row] - histories.occurred_at, 0) / horizon_us
    pair = row * histories.n_items + histories.item
    order = np.argsort(pair, kind="stable")  # within a pair still ascending in time
    pair, step, row, age_of_pair = pair[order], histories.step[order], row[order], age[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = pair[1:] != pair[:-1]
    once = first.copy()
    once[1:] |= step[1:] != step[:-1]
    row, age_of_pair, first = row[once], age_of_pair[once], first[once]
    if not len(row):
        return row, np.zeros(0, np.int32), np.zeros((0, len(FEATURES)), np.float32)
    start = np.flatnonzero(first)
    end = np.append(start[1:], len(row))
    steps = (end - start).astype(np.float64)
    recent = np.log(np.add.reduceat(np.exp2(-age_of_pair / RECENT), start) + ITEM_FLOOR)
    lately = np.log(np.add.reduceat(np.exp2(-age_of_pair / LATELY), start) + ITEM_FLOOR)
    oldest, newest = age_of_pair[start], age_of_pair[end - 1]
    due = np.log((newest + SHORTEST) * steps / (oldest - newest + TYPICAL))
    row, item = row[start], (pair[once][start] % histories.n_items).astype(np.int32)
    user = _activity(histories, age)
    columns = (
        recent, recent**2, lately, np.log(steps), due, due**2,
        rates.log_rate[item], rates.log_rate_now[item], *user[:, row],
    )  # fmt: skip
    return row, item, np.stack(columns, axis=1).astype(np.float32)


def _activity(histories: Histories, age: Float64s) -> Float64s:
    """Logs of each row's decayed numbers of steps, recent and lately, [2, B]."""
    row = histories.row_of
    new_step = np.ones(len(row), np.bool_)
    new_step[1:] = (row[1:] != row[:-1]) | (histories.step[1:] != histories.step[:-1])
    row, age = row[new_step], age[new_step]
    counts = [np.bincount(row, np.exp2(-age / h), minlength=len(histories)) for h in (RECENT, LATELY)]
    logs: Float64s = np.log(np.stack(counts) + USER_FLOOR)
    return logs
