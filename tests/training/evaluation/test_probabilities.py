"""Whether probabilities hold: hand-made numbers, what is calibrated and what is not, and what cannot be judged."""

import json
import math

import numpy as np
import pytest

from graph.storage.errors import BadInputError
from training.evaluation.probabilities import (
    ROC_POINTS,
    as_json,
    confusion_at,
    f1_threshold,
    judge_probabilities,
    reliability_of,
)

N = 20_000


@pytest.fixture
def pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities that hold, of 400 users with 50 pairs each."""
    random = np.random.default_rng(3)
    p = random.beta(0.5, 5, N)
    return p, random.random(N) < p, np.repeat(np.arange(400), 50)


def test_what_holds_is_found_to_hold(pairs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    p, y, user = pairs
    found = judge_probabilities(p, y, user, threshold=0.2)
    assert (found.pairs, found.users, found.base_rate) == (N, 400, y.mean())
    assert found.reliability.pairs.tolist() == [N // 10] * 10
    held = (found.reliability.low <= 1) & (found.reliability.high >= 1)
    assert held.sum() >= 8  # of ten intervals of 95 %
    assert found.log_loss < found.base_rate_log_loss
    assert found.brier < found.base_rate_brier == pytest.approx(y.mean() * (1 - y.mean()))
    assert found.calibration_error < 0.01
    assert 0.5 < found.roc.auc < 1


def test_what_promises_too_much_is_found_out(pairs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    p, y, user = pairs
    honest, boastful = (judge_probabilities(q, y, user, threshold=0.2) for q in (p, np.sqrt(p)))
    assert (boastful.reliability.ratio[2:] < 0.8).all()
    assert (boastful.reliability.high[2:] < 1).all()
    assert boastful.calibration_error > 5 * honest.calibration_error
    assert boastful.log_loss > honest.log_loss
    assert boastful.roc.auc == pytest.approx(honest.roc.auc)  # the order is the same


def test_by_hand() -> None:
    p = np.array([0.1, 0.4, 0.4, 0.9])
    y = np.array([False, True, False, True])
    found = judge_probabilities(p, y, np.array([0, 0, 1, 1]), threshold=0.4)
    assert found.log_loss == pytest.approx(-(math.log(0.9) + math.log(0.4) + math.log(0.6) + math.log(0.9)) / 4)
    assert found.base_rate_log_loss == pytest.approx(math.log(2))
    assert found.brier == pytest.approx((0.01 + 0.36 + 0.16 + 0.01) / 4)
    assert found.reliability.pairs.tolist() == [1, 1, 1, 1]
    np.testing.assert_allclose(found.reliability.observed, [0, 0.5, 0.5, 1])  # the two of 0.4 share what came true
    np.testing.assert_allclose(found.reliability.ratio, [0, 1.25, 1.25, 1 / 0.9])
    assert found.calibration_error == pytest.approx((0.1 + 0.1 + 0.1 + 0.1) / 4)
    said = found.confusion
    assert (said.true_positives, said.false_positives, said.false_negatives, said.true_negatives) == (2, 1, 0, 1)
    assert [said.accuracy, said.precision, said.recall, said.f1] == pytest.approx([3 / 4, 2 / 3, 1, 4 / 5])
    assert found.roc.auc == pytest.approx(0.875)


def test_the_order_of_equal_probabilities_says_nothing() -> None:
    p, y = np.full(100, 0.3), np.arange(100) < 30
    found = reliability_of(p, y, np.arange(100))
    np.testing.assert_allclose(found.observed, 0.3)


def test_the_threshold_is_where_f1_is_highest(pairs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    p, y, _ = pairs
    chosen = f1_threshold(p, y)
    best = confusion_at(p, y, chosen).f1
    assert best >= max(confusion_at(p, y, threshold).f1 for threshold in np.linspace(0, 1, 101))
    assert 0.05 < chosen < 0.5
    assert f1_threshold(p, np.zeros(N, np.bool_)) == 0.5


def test_one_class_alone_has_no_curve_and_no_nan_in_json() -> None:
    for outcome in (False, True):
        found = judge_probabilities(np.full(30, 0.2), np.full(30, outcome), np.arange(30), threshold=0.5)
        assert math.isnan(found.roc.auc)
        assert found.base_rate_log_loss == 0
        assert as_json(found)["roc"]["auc"] is None
    never = as_json(judge_probabilities(np.zeros(3), np.zeros(3, np.bool_), np.arange(3), threshold=0.5))
    assert never["reliability"]["ratio"] == [None] * 3
    json.dumps(never, allow_nan=False)


def test_json_has_what_is_computed_and_a_short_curve(pairs: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    p, y, user = pairs
    found = judge_probabilities(p, y, user, threshold=0.2)
    told = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert told["confusion"]["f1"] == found.confusion.f1
    assert told["reliability"]["ratio"] == found.reliability.ratio.tolist()
    assert len(told["roc"]["true_positive_rate"]) <= ROC_POINTS
    assert told["roc"]["true_positive_rate"][-1] == told["roc"]["false_positive_rate"][-1] == 1


@pytest.mark.parametrize(
    ("p", "y", "user", "threshold", "said"),
    [
        (np.array([0.1, 0.2]), np.array([True]), np.arange(2), 0.5, "one length"),
        (np.zeros(0), np.zeros(0, np.bool_), np.zeros(0, np.int64), 0.5, "one length"),
        (np.array([[0.1]]), np.array([[True]]), np.array([[0]]), 0.5, "one length"),
        (np.array([0.1]), np.array([1.0]), np.arange(1), 0.5, "yes or no"),
        (np.array([np.nan]), np.array([True]), np.arange(1), 0.5, "between 0 and 1"),
        (np.array([1.1]), np.array([True]), np.arange(1), 0.5, "between 0 and 1"),
        (np.array([-0.1]), np.array([True]), np.arange(1), 0.5, "between 0 and 1"),
        (np.array([0.1]), np.array([True]), np.arange(1), np.nan, "between 0 and 1"),
    ],
)
def test_what_cannot_be_judged_is_refused(
    p: np.ndarray, y: np.ndarray, user: np.ndarray, threshold: float, said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        judge_probabilities(p, y, user, threshold=threshold)
