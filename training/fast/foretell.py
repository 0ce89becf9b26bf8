"""What `training/calibration.py` says of the items of one user, in a compiled loop: for serving."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Float64s, Int32s, Int64s
from training.calibration import CERTAIN, LEAST_Z, MOST_Z, Calibrator
from training.fast.compiled import compiled


def foretell(
    calibrator: Calibrator, items: NDArray[np.integer[Any]], own: Int32s, activity: float, log_p: Float64s
) -> Float64s:
    """The probability of `items` [n] with log p(next) [n]; `own` [h], ascending, are those that the user had."""
    out = np.empty(len(items))
    _foretell(
        calibrator.knots,
        calibrator.activity_knots,
        calibrator.table,
        activity,
        items.astype(np.int64, copy=False),
        own,
        log_p,
        out,
    )
    return out


def compile_now() -> None:
    """Nobody who asks should have to wait for it."""
    knots, nothing = np.array([0.0, 1.0]), np.zeros(0)
    _foretell(
        np.stack([knots, knots]),
        knots,
        np.zeros((2, 2, 2)),
        0.0,
        np.zeros(0, np.int64),
        np.zeros(0, np.int32),
        nothing,
        nothing.copy(),
    )


@compiled
def _foretell(
    knots: Float64s,
    activity_knots: Float64s,
    table: Float64s,
    activity: float,
    items: Int64s,
    own: Int32s,
    log_p: Float64s,
    out: Float64s,
) -> None:
    row, right = _between(activity_knots, activity)
    for i in range(len(items)):
        place = np.searchsorted(own, items[i])
        had = int(place < len(own) and own[place] == items[i])
        p = min(math.exp(log_p[i]), CERTAIN)
        x = log_p[i] if p < 1e-6 else math.log(-math.log1p(-p))
        column, up = _between(knots[had], x)
        low = (1 - right) * table[had, row, column] + right * table[had, row + 1, column]
        high = (1 - right) * table[had, row, column + 1] + right * table[had, row + 1, column + 1]
        z = (1 - up) * low + up * high + min(x - knots[had, 0], 0.0)
        out[i] = -math.expm1(-math.exp(min(max(z, LEAST_Z), MOST_Z)))


@compiled
def _between(knots: Float64s, x: float) -> tuple[int, float]:
    """The knot to the left, and how far x is on the way to the next; what lies outside is moved to the border."""
    inside = min(max(x, knots[0]), knots[-1])
    left = min(max(np.searchsorted(knots, inside, side="right") - 1, 0), len(knots) - 2)
    return left, (inside - knots[left]) / (knots[left + 1] - knots[left])
