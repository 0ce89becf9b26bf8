"""Calibration: tables say what they were filled with, planted probabilities are found, and disk changes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graph.histories import Histories, histories_from_arrays
from graph.storage.errors import ArtifactError
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US
from training.artifact import load_artifact
from training.artifact_publish import publish_model, publish_revision
from training.calibration import (
    FILE,
    Activity,
    Calibration,
    Calibrator,
    activity_features,
    hazard,
    read_calibration,
    write_calibration,
)
from training.calibration_fit import fit_calibration
from training.calibration_pairs import OTHERS, collect
from training.evaluation.foretold import foretell
from training.evaluation.outcomes import Outcomes, outcomes_of
from training.evaluation.protocols import Split
from training.horizon import NEXT_EVENT, Horizon
from training.mixture_build import mixture_of, revision_of
from training.refresh import model_of
from training.train import Learned

USERS, ITEMS, DAYS = 400, 60, 10
KINDS = (EventKind(1, "purchase", 1.0, 1, None), EventKind(2, "view", 0.1, 1, None), EventKind(3, "seen", 0.0, 0, None))


def calibrator(days: float | None = 10.0, kind: str | None = None) -> Calibrator:
    """z = log p + activity, and 1 more for items that the user had; activity is the log of 2 for everyone."""
    knots = np.array([[-6.0, -3.0, 0.0], [-6.0, -3.0, 0.0]])
    activity_knots = np.array([0.0, 2.0])
    table = knots[:, None, :] + activity_knots[None, :, None] + np.array([0.0, 1.0])[:, None, None]
    n = 1 if days is None else 2
    activity = Activity(days, np.zeros(n), np.log(2.0), np.zeros(n), np.ones(n))
    return Calibrator(Horizon(days, kind), activity, activity_knots, knots, table, 0.3, {"users": 3.0})


def test_the_table_is_read_between_its_knots_and_below_them() -> None:
    p = np.array([1e-6, 1e-3, 0.01, 0.2])
    two = np.full(4, np.log(2.0))
    np.testing.assert_allclose(calibrator()(np.log(p), np.zeros(4, np.bool_), two), 1 - (1 - p) ** 2, rtol=1e-6)
    had = calibrator()(np.log(p), np.ones(4, np.bool_), two)
    np.testing.assert_allclose(had, 1 - (1 - p) ** (2 * np.e), rtol=1e-6)
    far = calibrator()(np.log(p), np.zeros(4, np.bool_), np.full(4, 50.0))
    np.testing.assert_array_equal(far, calibrator()(np.log(p), np.zeros(4, np.bool_), np.full(4, 2.0)))


def test_what_is_certain_or_impossible_stays_a_probability() -> None:
    p = calibrator()(np.array([0.0, -1e-9, -80.0, -1e4]), np.zeros(4, np.bool_), np.zeros(4))
    assert np.isfinite(p).all()
    assert (p >= 0).all()
    assert (p <= 1).all()
    assert np.isfinite(hazard(np.array([0.0, -200.0]))).all()


def test_activity_counts_lately_and_usually() -> None:
    days = np.array([0, 5, 95, 99, 99])
    histories = histories_from_arrays([0] * 5, range(5), days * DAY_US, n_users=2, n_items=5)
    now = np.full(2, 100 * DAY_US)
    expected = np.log1p(np.array([[3, 3 / 4], [0, 0]]))
    np.testing.assert_allclose(activity_features(histories, now, 10.0), expected)
    np.testing.assert_allclose(activity_features(histories, now, None), np.log1p(np.array([[5], [0]])))
    two = Activity(10.0, np.ones(2), 0.5, np.ones(2), np.ones(2))
    assert two(histories, now)[1] == 0.5  # a stranger is an average user, not one who stays away


def test_it_comes_back_from_disk_and_refuses_what_is_broken(tmp_path: Path) -> None:
    assert read_calibration(tmp_path) == Calibration()
    write_calibration(tmp_path, Calibration((calibrator(None), calibrator(), calibrator(kind="purchase"))))
    read = read_calibration(tmp_path)
    assert [str(each.horizon) for each in read.calibrators] == [
        "next event",
        "any event within 10 days",
        "purchase within 10 days",
    ]
    assert read.within("purchase") is read.calibrators[2]
    assert read.within("view") is None
    x, had, activity = np.log([0.1, 0.2]), np.array([True, False]), np.array([0.3, 1.0])
    np.testing.assert_array_equal(read.calibrators[1](x, had, activity), calibrator()(x, had, activity))
    assert (read.calibrators[1].threshold, read.calibrators[1].measured) == (0.3, {"users": 3.0})
    good = json.loads((tmp_path / FILE).read_text())
    for change in (
        {"table": [[1.0]]},
        {"knots": [[0.0, 0.0, 1.0], [0.0, 1.0, 2.0]]},
        {"table": (-np.asarray(good[0]["table"])).tolist()},
        {"activity": {"bias": 0.0, "weight": [1.0, 1.0, 1.0], "mean": [0.0, 0.0, 0.0], "scale": [1.0, 1.0, 1.0]}},
        {"threshold": None},
        {"activity_knots": ["x"]},
    ):
        (tmp_path / FILE).write_text(json.dumps([good[1] | change]))
        with pytest.raises(ArtifactError, match="is no calibration"):
            read_calibration(tmp_path)
    (tmp_path / FILE).write_text(json.dumps([{}]))
    with pytest.raises(ArtifactError, match="is no calibration"):
        read_calibration(tmp_path)


def test_outcomes_count_who_did_nothing_and_tell_kinds_apart() -> None:
    before = histories_from_arrays([0, 1, 2], [0, 1, 2], [DAY_US] * 3, n_users=4, n_items=9)
    user, item = [0, 0, 0, 0, 2, 2], [3, 4, 3, 5, 6, 7]
    when = [11 * DAY_US, 11 * DAY_US, 12 * DAY_US, 13 * DAY_US, 11 * DAY_US, 12 * DAY_US]
    after = histories_from_arrays(user, item, when, kind=[0, 0, 1, 2, 1, 2], n_users=4, n_items=9)
    found = outcomes_of(before, np.full(4, 10 * DAY_US), after, 5.0, KINDS)
    assert found.users.tolist() == [0, 1, 2]  # the last has no history
    assert [str(h) for h in found.horizons] == [
        "next event",
        "any event within 5 days",
        "purchase within 5 days",
        "view within 5 days",
    ]
    every = found.came_true(Horizon(5.0)).toarray()
    assert [np.flatnonzero(row).tolist() for row in every] == [[3, 4], [], [6]]  # 5 and 7 say nothing of interest
    assert found.events(Horizon(5.0)).tolist() == [3, 0, 1]
    assert found.came_true(Horizon(5.0, "view")).toarray().nonzero()[1].tolist() == [3, 6]
    first = found.came_true(NEXT_EVENT).toarray()
    assert first.sum(axis=1).tolist() == [1, 0, 1]
    assert first[0, [3, 4]].sum() == first[2, 6] == 1
    assert found.asked(NEXT_EVENT).tolist() == [True, False, True]
    np.testing.assert_array_equal(found.select(np.array([0])).came_true(NEXT_EVENT).toarray(), first[:1])


class Planted:
    """A mixture that tells everyone the same p, of which it does not know that half of the users stay away."""

    def __init__(self, p: np.ndarray) -> None:
        self.popularity = p.astype(np.float32)

    def scores(self, histories: Histories, now_us: np.ndarray) -> np.ndarray:
        return np.log(np.tile(self.popularity, (len(histories), 1)))


def planted(seed: int, users: int = USERS) -> tuple[Planted, Outcomes]:
    """Users of two rates; each event is drawn from p, which is sharper than the mixture says."""
    random = np.random.default_rng(seed)
    p = np.exp(-np.arange(ITEMS) / 8.0)
    p /= p.sum()
    said = p**0.7 / (p**0.7).sum()
    rate = np.where(np.arange(users) % 2, 6.0, 0.5)
    past, future = random.poisson(rate * 4), random.poisson(rate)
    columns = []
    for counts, begin, length in ((np.maximum(past, 1), 0, 4 * DAYS), (future, 4 * DAYS, DAYS)):
        user = np.repeat(np.arange(users), counts)
        when = ((begin + random.random(len(user)) * length) * DAY_US).astype(np.int64)
        item = random.choice(ITEMS, len(user), p=p)
        columns.append(histories_from_arrays(user, item, when, n_users=users, n_items=ITEMS))
    now = np.full(users, 4 * DAYS * DAY_US)
    return Planted(said), outcomes_of(columns[0], now, columns[1], float(DAYS), KINDS[:1])


def test_planted_probabilities_are_found_on_other_users() -> None:
    mixture, outcomes = planted(0)
    calibration = fit_calibration(mixture, outcomes)  # type: ignore[arg-type]  # a planted model in place of a mixture
    assert [each.horizon for each in calibration.calibrators] == [NEXT_EVENT, Horizon(float(DAYS))]
    other, unseen = planted(1, 1_000)
    judged = foretell(other, calibration, unseen, "", seen="include", catalog=np.ones(ITEMS, np.bool_))  # type: ignore[arg-type]  # a planted model in place of a mixture
    plain = foretell(other, Calibration(), unseen, "", seen="include", catalog=np.ones(ITEMS, np.bool_))  # type: ignore[arg-type]  # a planted model in place of a mixture
    assert [each.calibrated for each in judged] == [True, True]
    assert [each.calibrated for each in plain] == [False]  # days cannot be told without
    for each in judged:
        strong = each.quality.reliability.expected > 0.01
        assert (np.abs(each.quality.reliability.ratio[strong] - 1) < 0.25).all(), each.horizon
        assert each.quality.log_loss < each.quality.base_rate_log_loss
    assert judged[0].quality.log_loss < plain[0].quality.log_loss
    # It knows who comes: at one p the probability differs by how often users came.
    within = calibration.within()
    assert within is not None
    often = within.activity(unseen.histories, unseen.now_us)
    assert often[1::2].mean() - often[::2].mean() > 1.5


def test_a_table_never_falls_along_p() -> None:
    mixture, outcomes = planted(2)
    for each in fit_calibration(mixture, outcomes).calibrators:  # type: ignore[arg-type]  # a planted model in place of a mixture
        assert (np.diff(each.table, axis=2) >= 0).all()


def test_too_little_to_learn_from_is_not_calibrated() -> None:
    mixture, outcomes = planted(3)
    assert fit_calibration(mixture, outcomes.select(np.arange(20))) == Calibration()  # type: ignore[arg-type]  # a planted model in place of a mixture


def test_pairs_stand_for_the_whole_catalog(learned: Learned, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.calibration_pairs.TOP", 10)
    monkeypatch.setattr("training.calibration_pairs.OTHERS", 20)
    monkeypatch.setattr("training.calibration_pairs.ELSEWHERE", 1.0)
    outcomes = split.validation_outcomes
    horizon = outcomes.horizons[1]
    pairs = collect(learned.mixture, outcomes, (horizon,))
    assert OTHERS == 100
    assert pairs.is_top.sum() == 10 * len(outcomes)
    np.testing.assert_allclose(np.bincount(pairs.user, pairs.weight), 80)
    assert pairs.outcome[horizon].sum() == outcomes.came_true(horizon).sum()  # all that came true is there, once


def test_a_model_takes_it_along(learned: Learned, split: Split, tmp_path: Path) -> None:
    calibration = Calibration((calibrator(20.0),))
    model = replace(learned.model, calibration=calibration)
    mixture = mixture_of(model, split.trained)
    publish_model(tmp_path, 1, model.net.state_dict(), model.net.config.model_dump(mode="json"))
    revision = revision_of(model, mixture, split.trained, config={}, metrics={})
    artifact = load_artifact(publish_revision(tmp_path, 1, 1, revision))
    assert artifact.calibration.within() is not None
    again = revision_of(model_of(artifact), mixture, split.trained, config={}, metrics={})
    assert again.calibration is artifact.calibration
