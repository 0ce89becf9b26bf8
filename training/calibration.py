"""From p(next item) to the probability of what a shop asks, for each horizon one small table that validation filled.

    P = 1 - exp(-exp(z))      z between the knots of a table over log p and the user's activity: bilinear, never falling
                              in p; one table for items that the user had, one for new ones

For "within N days" activity is the log of the number of events expected of the user in N days, from how often the user
came of late (`Activity`); for the next event it is the length of the history. Where nothing was learned the table says
z = log p + activity: events that come at the user's rate, each an item drawn from p. Below the lowest knot z falls with
log p, so that what is most unlikely stays in proportion. Tables of this kind: Gupta et al. 2016 (monotonic calibrated
interpolated look-up tables).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Bools, Float64s, Int64s
from graph.histories import Histories
from graph.storage.times import DAY_US
from training.artifact_arrays import read_json, write_json
from training.artifact_manifest import broken
from training.horizon import Horizon

FILE = "calibration.json"
LONG = 4.0
"""Windows of length N that a user's usual rate is taken from."""
CERTAIN, LEAST_Z, MOST_Z = 1 - 1e-9, -60.0, 3.0


@dataclass(frozen=True, eq=False)
class Activity:
    """One number a user: `features · weight + bias`, features standardised by `mean` and `scale`; `[F]` each."""

    days: float | None
    weight: Float64s
    bias: float
    mean: Float64s
    scale: Float64s

    def __call__(self, histories: Histories, now_us: Int64s) -> Float64s:
        """float64 [B]. A user without history is taken for an average one: nothing tells otherwise."""
        x = (activity_features(histories, now_us, self.days) - self.mean) / self.scale
        x[histories.lengths == 0] = 0
        return np.asarray(x @ self.weight + self.bias)


@dataclass(frozen=True, eq=False)
class Calibrator:
    """`activity_knots` [A]; `knots` [2, P] of log p and `table` [2, A, P] of z: new items first, then such as were had.

    threshold: where a yes or no has the highest F1 on validation users that the table was not fitted on.
    measured: what was found on those, by name.
    """

    horizon: Horizon
    activity: Activity
    activity_knots: Float64s
    knots: Float64s
    table: Float64s
    threshold: float
    measured: dict[str, float]

    def __call__(self, log_p: NDArray[np.floating[Any]], had: Bools, activity: Float64s) -> Float64s:
        """The probability of n pairs of user and item, [n]; `activity` [n] is that of each pair's user."""
        return probability_of(self.z(hazard(log_p), had, activity))

    def z(self, x: Float64s, had: Bools, activity: Float64s) -> Float64s:
        corners, share, below = places(self.knots, self.activity_knots, x, had, activity)
        return np.asarray((self.table.ravel()[corners] * share).sum(axis=1) + below)


@dataclass(frozen=True)
class Calibration:
    """What a model can tell the probability of."""

    calibrators: tuple[Calibrator, ...] = ()

    def find(self, horizon: Horizon) -> Calibrator | None:
        return next((each for each in self.calibrators if each.horizon == horizon), None)

    def within(self, kind: str | None = None) -> Calibrator | None:
        """The one for "within N days", whatever N is."""
        found = (each for each in self.calibrators if each.horizon.days is not None)
        return next((each for each in found if each.horizon.kind == kind), None)


def hazard(log_p: NDArray[np.floating[Any]]) -> Float64s:
    """log(-log(1 - p)), log p but for p near 1."""
    p = np.minimum(np.exp(np.asarray(log_p, np.float64)), CERTAIN)
    return np.where(p < 1e-6, np.asarray(log_p, np.float64), np.log(-np.log1p(-np.maximum(p, 1e-6))))


def probability_of(z: Float64s) -> Float64s:
    return np.asarray(-np.expm1(-np.exp(np.clip(z, LEAST_Z, MOST_Z))))


def places(
    knots: Float64s, activity_knots: Float64s, x: Float64s, had: Bools, activity: Float64s
) -> tuple[Int64s, Float64s, Float64s]:
    """The corners [n, 4] of each pair in the flattened table, their shares [n, 4], and how far x lies below [n]."""
    row, right = _between(activity_knots, activity)
    column, up, below = np.zeros(len(x), np.int64), np.zeros(len(x)), np.zeros(len(x))
    for kind in (0, 1):
        mine = had == bool(kind)
        column[mine], up[mine] = _between(knots[kind], x[mine])
        below[mine] = np.minimum(x[mine] - knots[kind, 0], 0)
    width = knots.shape[1]
    first = (had * len(activity_knots) + row) * width + column
    corners = first[:, None] + np.array([0, 1, width, width + 1])
    share = np.stack([(1 - right) * (1 - up), (1 - right) * up, right * (1 - up), right * up], axis=1)
    return corners, share, below


def _between(knots: Float64s, x: Float64s) -> tuple[Int64s, Float64s]:
    """The knot to the left, and how far x is on the way to the next; what lies outside is moved to the border."""
    inside = np.clip(x, knots[0], knots[-1])
    left = np.clip(np.searchsorted(knots, inside, side="right") - 1, 0, len(knots) - 2)
    return left, (inside - knots[left]) / (knots[left + 1] - knots[left])


def activity_features(histories: Histories, now_us: Int64s, days: float | None) -> Float64s:
    """[B, F]. days None: the log of the history's length. Else the logs of how many events lie in the last N days, and
    in N days of the last LONG times N (or of those since the first event)."""
    if days is None:
        return np.log1p(histories.lengths)[:, None]
    n, row = len(histories), histories.row_of
    age = np.maximum(now_us[row] - histories.occurred_at, 0) / (days * DAY_US)
    since = np.zeros(n)
    there = histories.lengths > 0
    since[there] = age[histories.offsets[:-1][there]]
    recent, usual = (np.bincount(row[age <= units], minlength=n) for units in (1, LONG))
    return np.log1p(np.stack([recent, usual / np.clip(since, 1, LONG)], axis=1))


def write_calibration(folder: Path, calibration: Calibration) -> None:
    """`calibration.json`; no file where nothing is calibrated."""
    if calibration.calibrators:
        write_json(folder / FILE, [_written(each) for each in calibration.calibrators])


def read_calibration(folder: Path) -> Calibration:
    """Empty for a model that has none, one of an older version among them. Raises ArtifactError."""
    path = folder / FILE
    if not path.exists():
        return Calibration()
    content = read_json(path)
    try:
        calibrators = tuple(_read(each) for each in content)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(path, f"is no calibration ({error})") from error
    return Calibration(calibrators)


def _written(calibrator: Calibrator) -> dict[str, Any]:
    activity = calibrator.activity
    arrays = {name: getattr(activity, name).tolist() for name in ("weight", "mean", "scale")}
    return {
        "days": calibrator.horizon.days,
        "kind": calibrator.horizon.kind,
        "activity": {"bias": activity.bias, **arrays},
        **{name: getattr(calibrator, name).tolist() for name in ("activity_knots", "knots", "table")},
        "threshold": calibrator.threshold,
        "measured": calibrator.measured,
    }


def _read(entry: dict[str, Any]) -> Calibrator:
    """Raises KeyError, TypeError or ValueError."""
    horizon = Horizon(None if entry["days"] is None else float(entry["days"]), entry["kind"])
    weight, mean, scale = (_numbers(entry["activity"][name]) for name in ("weight", "mean", "scale"))
    activity = Activity(horizon.days, weight, float(entry["activity"]["bias"]), mean, scale)
    activity_knots, knots, table = (_numbers(entry[name]) for name in ("activity_knots", "knots", "table"))
    if knots.ndim != 2 or activity_knots.ndim != 1 or table.shape != (2, len(activity_knots), knots.shape[1]):
        raise ValueError("tables and knots of different shapes")
    if min(len(activity_knots), knots.shape[1]) < 2 or (np.diff(activity_knots) <= 0).any() or _falls(knots, table):
        raise ValueError("knots that do not rise, or a table that falls")
    if not len(weight) == len(mean) == len(scale) == len(activity_features(_NOBODY, _NO_TIME, horizon.days)[0]):
        raise ValueError("an activity of other features")
    measured = {str(name): float(value) for name, value in entry["measured"].items()}
    return Calibrator(horizon, activity, activity_knots, knots, table, float(entry["threshold"]), measured)


def _numbers(values: Sequence[Any]) -> Float64s:
    array = np.asarray(values, np.float64)
    if not np.isfinite(array).all():
        raise ValueError("numbers that are not finite")
    return array


def _falls(knots: Float64s, table: Float64s) -> bool:
    return bool((np.diff(knots, axis=1) <= 0).any() or (np.diff(table, axis=2) < -1e-9).any())


_NOBODY = Histories(
    offsets=np.zeros(2, np.int64),
    item=np.zeros(0, np.int32),
    kind=np.zeros(0, np.int16),
    occurred_at=np.zeros(0, np.int64),
    value=np.zeros(0, np.float32),
    step=np.zeros(0, np.int32),
    n_items=1,
)
_NO_TIME = np.zeros(1, np.int64)
