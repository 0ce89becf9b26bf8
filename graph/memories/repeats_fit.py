"""The weights of the repeat memory: a logistic regression on the newest windows before a cut."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from graph.arrays import Bools, Float32s, Float64s, Int32s
from graph.histories import Histories
from graph.memories.repeats import RepeatWeights, own_items
from graph.memories.repurchase import repurchase_rates

WINDOWS = 2
L2 = 1e-4
ITERATIONS = 60
FEW_REPEATS = 50
"""With fewer own items that came again there is nothing to learn ten weights from."""
MAX_PAIRS = 1_000_000
"""Pairs of user and own item in a window that are learned from; of more, every n-th user's."""


def fit_repeats(
    histories: Histories, cut_us: int, horizon_us: int, group: Int32s | None = None
) -> RepeatWeights | None:
    """Weights from the two newest windows [start, start + Δ) ending at or before `cut_us`; None where repeats are few.

    Features are of the events before each window's start, labels are the own items that came again in it; asked are
    users with an event before and one in it. Where this is None use `own_frequency`, which has nothing to learn.
    Minimises mean binary cross-entropy + L2 · |weight|² by L-BFGS on standardised features. Deterministic.
    """
    windows = [_window(histories, cut_us - n * horizon_us, horizon_us, group) for n in range(1, WINDOWS + 1)]
    features = np.concatenate([x for x, _ in windows])
    again = np.concatenate([y for _, y in windows])
    if min(again.sum(), (~again).sum()) < FEW_REPEATS:
        return None
    mean, scale = features.mean(axis=0, dtype=np.float64), features.std(axis=0, dtype=np.float64)
    scale = np.where(scale > 1e-6, scale, 1.0)
    features -= mean.astype(np.float32)
    features /= scale.astype(np.float32)
    label = again.astype(np.float32)

    def loss(parameters: Float64s) -> tuple[float, Float64s]:
        weight, bias = parameters[:-1], parameters[-1]
        logit = (features @ weight.astype(np.float32) + np.float32(bias)).astype(np.float64)
        p = 1 / (1 + np.exp(-np.clip(logit, -50, 50)))
        # log(1 + e^x) - y·x, without overflow
        value = np.logaddexp(0, logit).mean() - logit[again].sum() / len(logit) + L2 * (weight**2).sum()
        error = (p - label) / len(label)
        slope = (error.astype(np.float32) @ features).astype(np.float64) + 2 * L2 * weight
        return float(value), np.append(slope, error.sum())

    share = label.mean(dtype=np.float64)
    start = np.append(np.zeros(features.shape[1]), np.log(share / (1 - share)))
    found: NDArray[np.float64] = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}).x
    return RepeatWeights(horizon_us, float(found[-1]), found[:-1], mean, scale)


def _window(histories: Histories, start_us: int, horizon_us: int, group: Int32s | None) -> tuple[Float32s, Bools]:
    """Features [P, 10] as of `start_us` and whether each own item came again in [start, start + Δ)."""
    before, whole = histories.until(start_us), histories.until(start_us + horizon_us)
    asked = np.flatnonzero((before.lengths > 0) & (whole.lengths > before.lengths))
    pairs = int(before.lengths[asked].sum())
    asked = asked[:: max(1, -(-pairs // MAX_PAIRS))]
    rates = repurchase_rates(before, start_us, horizon_us, group)
    mine = before.select(asked)
    row, item, features = own_items(mine, np.full(len(asked), start_us, np.int64), rates, horizon_us)
    outcome = whole.select(asked)
    later = outcome.occurred_at >= start_us
    bought = np.unique(outcome.row_of[later].astype(np.int64) * whole.n_items + outcome.item[later])
    return features, np.isin(row * whole.n_items + item, bought)
