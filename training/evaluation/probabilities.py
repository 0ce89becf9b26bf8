"""Do probabilities hold: what was foretold beside what happened, and what a yes or no at a threshold would be worth.

Pairs of a user and an item, each with a probability and whether it came true. Pure functions of arrays; whoever draws
or prints takes the frozen values. Positives are rare, so a log-loss or an accuracy says nothing without that of the
base rate, which stands beside it: the share of outcomes in these very pairs, which a model has to guess.
"""

import math
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import brier_score_loss, log_loss, precision_recall_curve, roc_auc_score, roc_curve

from graph.arrays import Bools, Float64s, Int64s
from graph.storage.errors import BadInputError

BINS = 10
ROC_POINTS = 200
SAMPLES = 1_000
"""Of the bootstrap over users behind the intervals of a bin."""


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal mass, that is of equally many pairs, from the least probable to the most; `[bins]` each.

    Pairs of equal probability count with their common share of outcomes, so that their order in the input says nothing.
    low, high: 95 % interval of `ratio`, a bootstrap over users, whose pairs come true together.
    """

    pairs: Int64s
    expected: Float64s  # mean probability
    observed: Float64s  # share that came true
    low: Float64s
    high: Float64s

    @property
    def ratio(self) -> Float64s:
        """Observed over expected; NaN where nothing was expected."""
        return _ratio(self.observed, self.expected)


@dataclass(frozen=True)
class Confusion:
    """What saying yes at `probability >= threshold` gets right and wrong."""

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int

    @property
    def accuracy(self) -> float:
        right = self.true_positives + self.true_negatives
        return right / (right + self.false_positives + self.false_negatives)

    @property
    def precision(self) -> float:
        """0 where nothing was said yes to, as scikit-learn has it."""
        return self.true_positives / max(self.true_positives + self.false_positives, 1)

    @property
    def recall(self) -> float:
        return self.true_positives / max(self.true_positives + self.false_negatives, 1)

    @property
    def f1(self) -> float:
        return 2 * self.true_positives / max(2 * self.true_positives + self.false_positives + self.false_negatives, 1)


@dataclass(frozen=True, eq=False)
class Roc:
    """The curve `[points]`, thinned to ROC_POINTS, and the area under the whole; NaN and no points for one class."""

    false_positive_rate: Float64s
    true_positive_rate: Float64s
    auc: float


@dataclass(frozen=True, eq=False)
class ProbabilityQuality:
    """Everything about one set of pairs. Losses are means a pair, in nats; `base_rate_*` say the base rate to all."""

    pairs: int
    users: int
    base_rate: float
    log_loss: float
    base_rate_log_loss: float
    brier: float
    base_rate_brier: float
    calibration_error: float  # mean of |observed - expected| over the bins (Naeini et al. 2015), bins of equal mass
    reliability: Reliability
    confusion: Confusion
    roc: Roc


def judge_probabilities(
    probability: NDArray[np.floating[Any]], outcome: Bools, user: NDArray[np.integer[Any]], *, threshold: float
) -> ProbabilityQuality:
    """All of it for `[n]` pairs. `threshold` is to be chosen on other data (`f1_threshold`).

    Raises BadInputError for columns of unequal length, none at all, and what is no probability.
    """
    p, y = _checked(probability, outcome, user, threshold)
    rate = float(y.mean())
    reliability = reliability_of(p, y, user)
    both = 0 < rate < 1
    return ProbabilityQuality(
        pairs=len(p),
        users=len(np.unique(user)),
        base_rate=rate,
        log_loss=float(log_loss(y, p, labels=[False, True])),
        base_rate_log_loss=-(rate * math.log(rate) + (1 - rate) * math.log(1 - rate)) if both else 0.0,
        brier=float(brier_score_loss(y, p, pos_label=True)),
        base_rate_brier=rate * (1 - rate),
        calibration_error=float(
            np.average(np.abs(reliability.observed - reliability.expected), weights=reliability.pairs)
        ),
        reliability=reliability,
        confusion=confusion_at(p, y, threshold),
        roc=_roc(p, y) if both else Roc(np.zeros(0), np.zeros(0), float("nan")),
    )


def reliability_of(
    probability: Float64s, outcome: Bools, user: NDArray[np.integer[Any]], *, bins: int = BINS, seed: int = 0
) -> Reliability:
    """At most `bins` bins, fewer where there are fewer pairs."""
    order = np.argsort(probability, kind="stable")
    bins = min(bins, len(order))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) * bins // len(order)
    _, level = np.unique(probability, return_inverse=True)
    shared = (np.bincount(level, weights=outcome) / np.bincount(level))[level]
    users, row = np.unique(user, return_inverse=True)
    cell, cells = row * bins + place, len(users) * bins
    came_true = np.bincount(cell, shared, cells).reshape(-1, bins).astype(np.float64)
    foretold = np.bincount(cell, probability, cells).reshape(-1, bins).astype(np.float64)
    pairs = np.bincount(place, minlength=bins)
    low, high = _interval(came_true, foretold, np.random.default_rng(seed))
    return Reliability(pairs, foretold.sum(axis=0) / pairs, came_true.sum(axis=0) / pairs, low, high)


def confusion_at(probability: Float64s, outcome: Bools, threshold: float) -> Confusion:
    said = probability >= threshold
    counts = (int((a & b).sum()) for a, b in ((said, outcome), (said, ~outcome), (~said, outcome), (~said, ~outcome)))
    return Confusion(threshold, *counts)


def f1_threshold(probability: Float64s, outcome: Bools) -> float:
    """Where a yes or no has the highest F1, for use on other data; 0.5 where nothing came true.

    Half of all answers right is no use where positives are rare: at 0.5 nearly all is no, and accuracy praises it.
    """
    if not outcome.any():
        return 0.5
    precision, recall, thresholds = precision_recall_curve(outcome, probability)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return float(thresholds[f1[:-1].argmax()])


def as_json(value: Any) -> Any:
    """Any of the values above as what JSON can hold: properties included, NaN as null."""
    if is_dataclass(value):
        computed = [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        return {name: as_json(getattr(value, name)) for name in [*(f.name for f in fields(value)), *computed]}
    if isinstance(value, np.ndarray):
        return [as_json(each) for each in value.tolist()]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checked(
    probability: NDArray[np.floating[Any]], outcome: Bools, user: NDArray[np.integer[Any]], threshold: float
) -> tuple[Float64s, Bools]:
    p, y = np.asarray(probability, np.float64), np.asarray(outcome)
    if p.ndim != 1 or p.shape != y.shape or p.shape != np.shape(user) or not len(p):
        raise BadInputError(
            f"Probabilities, outcomes and users must be columns of one length, got {p.shape}, {y.shape} and "
            f"{np.shape(user)}.",
            hint="One entry per pair of a user and an item, at least one.",
        )
    if y.dtype != np.bool_:
        raise BadInputError(f"Outcomes must be yes or no, got {y.dtype}.", hint="Pass a boolean array.")
    if not (np.isfinite(p) & (p >= 0) & (p <= 1)).all() or not 0 <= threshold <= 1:
        raise BadInputError("Probabilities and thresholds must lie between 0 and 1.", reason="NO_PROBABILITY")
    return p, y


def _roc(probability: Float64s, outcome: Bools) -> Roc:
    false, true, _ = roc_curve(outcome, probability)
    some = np.unique(np.linspace(0, len(false) - 1, min(ROC_POINTS, len(false))).round().astype(np.int64))
    return Roc(false[some], true[some], float(roc_auc_score(outcome, probability)))


def _interval(came_true: Float64s, foretold: Float64s, random: np.random.Generator) -> tuple[Float64s, Float64s]:
    """The 2.5th and 97.5th percentile of Σ came_true / Σ foretold over users drawn with replacement; both [U, bins]."""
    users = len(came_true)
    rows = max(1, 4_000_000 // users)
    ratios = []
    for done in range(0, SAMPLES, rows):
        times = random.multinomial(users, np.full(users, 1 / users), size=min(rows, SAMPLES - done)).astype(np.float64)
        ratios.append(_ratio(times @ came_true, times @ foretold))
    # A bin in which none of the users drawn has a pair says nothing of its ratio in that sample.
    known = [column[np.isfinite(column)] for column in np.concatenate(ratios).T]
    ends = [np.percentile(column, [2.5, 97.5]) if len(column) else np.full(2, np.nan) for column in known]
    low, high = np.stack(ends, axis=1)
    return low, high


def _ratio(observed: Float64s, expected: Float64s) -> Float64s:
    return np.divide(observed, expected, out=np.full_like(observed, np.nan), where=expected > 0)
