"""Means and spreads by hand, and every user counted once."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.reports import OURS, random_report
from training.evaluation.protocols import REFRESHED
from training.evaluation.report import Report
from training.evaluation.spread import pooled, spread, spreads, write_summary

NAN = float("nan")


def result_of(report: Report, model: str = OURS) -> dict[str, np.ndarray]:
    return next(r.per_user for r in report.results if (r.column, r.model) == (REFRESHED, model))


def test_by_hand() -> None:
    found = spread([0.1, 0.2, 0.6])
    assert [found.mean, found.sd, found.slope] == pytest.approx([0.3, math.sqrt(0.07), 0.25])
    one = spread([0.4])
    assert one.mean == 0.4
    assert math.isnan(one.sd)
    assert math.isnan(spread([0.1, 0.2]).slope)
    gap = spread([0.1, NAN, 0.3])
    assert gap.mean == pytest.approx(0.2)
    assert math.isnan(gap.slope)  # a fold is missing: nothing follows it
    assert math.isnan(spread([NAN, NAN]).mean)


def test_folds_of_users_are_put_side_by_side() -> None:
    reports = [random_report(users=30, seed=seed, first_user=30 * seed) for seed in range(3)]
    whole = pooled(reports)
    assert whole.users == 90
    np.testing.assert_array_equal(
        result_of(whole)["ndcg@10"], np.concatenate([result_of(report)["ndcg@10"] for report in reports])
    )
    np.testing.assert_array_equal(whole.events_before, np.concatenate([r.events_before for r in reports]))
    assert {c.difference.users for c in whole.comparisons} == {90}
    figures = spreads(reports)[REFRESHED, OURS]["ndcg@10"]
    assert figures.values == tuple(result_of(report)["ndcg@10"].mean() for report in reports)


def test_a_user_of_several_windows_counts_once_with_the_mean() -> None:
    first, second = random_report(users=40, seed=1), random_report(users=40, seed=2, first_user=20)
    whole = pooled([first, second])
    assert whole.users == 60
    one, other, both = (result_of(report)["recall@10"] for report in (first, second, whole))
    np.testing.assert_allclose(both, np.concatenate([one[:20], (one[20:] + other[:20]) / 2, other[20:]]))
    assert {c.difference.users for c in whole.comparisons} == {60}
    curves = [next(r for r in report.results if r.model == OURS).recall_curve for report in (first, second, whole)]
    np.testing.assert_allclose(curves[2], (curves[0] + curves[1]) / 2)


def test_the_summary_is_json_without_nan(tmp_path: Path) -> None:
    path = write_summary([random_report(new_hits=NAN)], tmp_path)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    written = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    figures = written["results"][0]["metrics"]
    assert figures["new_hits@10"] == {"values": [None], "mean": None, "sd": None, "slope": None}
    assert figures["ndcg@10"]["sd"] is None
    assert written["folds"][0]["users"] == 60
