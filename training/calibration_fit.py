"""The tables of `calibration.py` are filled on validation users, those included who then did nothing.

1. Activity: a Poisson regression of how many events each user had in the window.
2. The table: the likelihood of what came true, with a penalty that draws it to a Poisson process (z = log p + activity)
   wherever little is known. Pairs alike in p, activity and kind are summed into cells first.
3. Five-fold over users: a table that does not foretell the outcomes of other users better than that process is not kept
   for the next event, whose p stands as it is.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.linear_model import PoissonRegressor

from graph.arrays import Bools, Float64s, Int64s
from graph.histories import Histories
from training.calibration import Activity, Calibration, Calibrator, activity_features, places, probability_of
from training.calibration_pairs import Pairs, collect
from training.evaluation.outcomes import Outcomes
from training.evaluation.probabilities import f1_threshold, judge_probabilities
from training.horizon import Horizon
from training.mixture import Mixture

USERS = 4_000
FEWEST_USERS, FEWEST_OUTCOMES = 30, 100
"""With fewer a horizon is not offered; the next event is then told as the mixture has it."""
KNOTS, ACTIVITY_KNOTS = 12, 6
STIFF = 5.0
FOLDS = 5
STEPS = 300
_CELLS = 300, 60


def fit_calibration(mixture: Mixture, outcomes: Outcomes) -> Calibration:
    """All horizons of the outcomes for which there is enough to learn from."""
    some = outcomes.sample(USERS)
    horizons = some.horizons
    pairs = collect(mixture, some, horizons)
    found = [_calibrator(pairs, some, horizon) for horizon in horizons]
    return Calibration(tuple(each for each in found if each is not None))


def _calibrator(pairs: Pairs, outcomes: Outcomes, horizon: Horizon) -> Calibrator | None:
    asked = outcomes.asked(horizon)
    pairs = pairs.select(asked[pairs.user])
    if asked.sum() < FEWEST_USERS or pairs.outcome[horizon].sum() < FEWEST_OUTCOMES:
        return None
    fold = np.random.default_rng(0).permutation(len(outcomes)) % FOLDS
    foretold, plain = np.zeros(len(pairs.x)), np.zeros(len(pairs.x))
    for held_out in range(FOLDS):
        mine, others = fold[pairs.user] == held_out, fold[pairs.user] != held_out
        fitted = _fitted(pairs.select(others), outcomes, asked & (fold != held_out), horizon)
        activity = fitted.activity(outcomes.histories, outcomes.now_us)[pairs.user[mine]]
        foretold[mine] = probability_of(fitted.z(pairs.x[mine], pairs.had[mine], activity))
        plain[mine] = probability_of(pairs.x[mine] + (0 if horizon.days is None else activity))
    top, came = pairs.is_top, pairs.outcome[horizon][pairs.is_top]
    threshold = f1_threshold(foretold[top], came)
    judged, process = (
        judge_probabilities(p[top], came, pairs.user[top], threshold=threshold) for p in (foretold, plain)
    )
    if horizon.days is None and judged.log_loss >= process.log_loss:
        return None
    whole = _fitted(pairs, outcomes, asked, horizon)
    measured = {
        "users": float(judged.users),
        "outcomes": float(came.sum()),
        "log_loss": judged.log_loss,
        "uncalibrated_log_loss": process.log_loss,
        "base_rate_log_loss": judged.base_rate_log_loss,
        "calibration_error": judged.calibration_error,
        "observed_over_expected": float(came.sum() / foretold[top].sum()),
    }
    return Calibrator(horizon, whole.activity, whole.activity_knots, whole.knots, whole.table, threshold, measured)


def _fitted(pairs: Pairs, outcomes: Outcomes, users: Bools, horizon: Horizon) -> Calibrator:
    """From the pairs of some `users`, [B]."""
    activity = _fit_activity(outcomes.histories, outcomes.now_us, outcomes.events(horizon), users, horizon.days)
    levels = activity(outcomes.histories, outcomes.now_us)
    ends = np.quantile(levels[users], [0.02, 0.98])
    activity_knots = np.linspace(ends[0], max(ends[1], ends[0] + 1e-3), ACTIVITY_KNOTS)
    came, level = pairs.outcome[horizon], levels[pairs.user]
    knots = np.stack([_knots(pairs, came, pairs.had == kind) for kind in (False, True)])
    slope = 0.0 if horizon.days is None else 1.0
    table = _fit_table(pairs, came, level, knots, activity_knots, slope)
    return Calibrator(horizon, activity, activity_knots, knots, table, 0.5, {})


def _fit_activity(histories: Histories, now_us: Int64s, events: Int64s, users: Bools, days: float | None) -> Activity:
    x = activity_features(histories, now_us, days)
    mean, scale = x[users].mean(axis=0), np.maximum(x[users].std(axis=0), 1e-6)
    if days is None:
        return Activity(None, scale, float(mean[0]), mean, scale)  # as it is
    model = PoissonRegressor(alpha=0.1, max_iter=300).fit((x[users] - mean) / scale, events[users])
    return Activity(days, np.asarray(model.coef_, np.float64), float(model.intercept_), mean, scale)


def _knots(pairs: Pairs, came: Bools, mine: Bools) -> Float64s:
    """[P]: equally many outcomes lie between two knots; evenly apart where these are too few to tell."""
    x = pairs.x[mine & came] if (mine & came).sum() >= KNOTS else pairs.x[mine if mine.any() else slice(None)]
    knots = np.quantile(x, np.linspace(0.002, 0.998, KNOTS))
    even = np.linspace(knots[0], max(knots[-1], knots[0] + 1e-2), KNOTS)
    return knots if (np.diff(knots) > 1e-4).all() else even


def _fit_table(
    pairs: Pairs, came: Bools, level: Float64s, knots: Float64s, activity_knots: Float64s, slope: float
) -> Float64s:
    """[2, A, P]. slope: how z follows activity where nothing is known."""
    x, activity, had, yes, no = _cells(pairs, came, level)
    corners, share, below = places(knots, activity_knots, x, had, activity)
    shape = (2, len(activity_knots), knots.shape[1])
    at = np.repeat(np.arange(len(x)), 4), corners.ravel()
    read = csr_array((share.ravel(), at), shape=(len(x), int(np.prod(shape))))
    gap, rise = np.diff(knots, axis=1)[:, None, :], slope * np.diff(activity_knots)[None, :, None]
    start = np.concatenate(
        [knots[:, None, :1] + slope * activity_knots[None, :, None], np.tile(gap, (1, shape[1], 1))], 2
    )

    def loss(steps: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Of the increments along log p, the first of which is the level at the lowest knot."""
        table = np.cumsum(steps.reshape(shape), axis=2)
        z = read @ table.ravel() + below
        events = np.exp(np.clip(z, -60, 3))
        p = np.maximum(-np.expm1(-events), 1e-300)
        slack = steps.reshape(shape)[..., 1:] - gap
        tilt = np.diff(table, axis=1) - rise
        value = (no * events - yes * np.log(p)).sum() + STIFF * ((slack**2 / gap).sum() + (tilt**2).sum())
        of_table = (read.T @ (no * events - yes * events * np.exp(-events) / p)).reshape(shape)
        of_table[:, 1:] += 2 * STIFF * tilt
        of_table[:, :-1] -= 2 * STIFF * tilt
        of_steps = np.cumsum(of_table[..., ::-1], axis=2)[..., ::-1].copy()
        of_steps[..., 1:] += 2 * STIFF * slack / gap
        return float(value), of_steps.ravel()

    bounds = [(None, None) if number % shape[2] == 0 else (0, None) for number in range(start.size)]
    found = minimize(
        loss, start.ravel(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS, "ftol": 1e-6}
    )
    return np.cumsum(found.x.reshape(shape), axis=2)


def _cells(pairs: Pairs, came: Bools, level: Float64s) -> tuple[Float64s, Float64s, Bools, Float64s, Float64s]:
    """Means of log p and activity of each cell, whether had, and the weights of what came true and what did not."""
    by_p, by_activity = (
        np.searchsorted(np.quantile(values, np.linspace(0, 1, n)[1:-1]), values)
        for values, n in zip((pairs.x, level), _CELLS, strict=True)
    )
    key = (pairs.had * _CELLS[1] + by_activity) * _CELLS[0] + by_p
    there, cell = np.unique(key, return_inverse=True)

    def total(values: NDArray[np.float64]) -> Float64s:
        return np.bincount(cell, values, len(there)).astype(np.float64)

    weight = total(pairs.weight)
    yes = total(pairs.weight * came)
    return (
        total(pairs.weight * pairs.x) / weight,
        total(pairs.weight * level) / weight,
        there >= _CELLS[0] * _CELLS[1],
        yes,
        weight - yes,
    )
