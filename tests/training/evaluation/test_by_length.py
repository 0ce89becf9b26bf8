"""Buckets hold every user once, and none too few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.evaluation.reports import BASELINES, OURS, random_report
from training.evaluation.by_length import METRIC, MOST_BUCKETS, by_length, contenders, spans
from training.evaluation.protocols import REFRESHED


@given(st.lists(st.integers(0, 5_000), min_size=1, max_size=300))
def test_every_length_lies_in_one_bucket_and_no_bucket_is_thin(lengths: list[int]) -> None:
    values = np.array(lengths, np.int64)
    found = spans(values)
    inside = np.array([(values >= low) & (values <= high) for low, high in found])
    assert (inside.sum(axis=0) == 1).all()
    assert 1 <= len(found) <= MOST_BUCKETS
    assert len(found) == 1 or (inside.sum(axis=1) * MOST_BUCKETS >= len(lengths)).all()
    assert all(low <= high for low, high in found)


def test_buckets_begin_at_round_numbers() -> None:
    assert spans(np.repeat([3, 4, 6, 25, 1_200], 10)) == [(3, 3), (4, 4), (5, 19), (20, 999), (1_000, 1_200)]
    assert spans(np.zeros(0, np.int64)) == []


def test_means_and_differences_are_those_of_the_users() -> None:
    report = random_report(users=200)
    ours, best = contenders(report, REFRESHED)
    assert ours.model == OURS
    assert best.means[METRIC] == max(r.means[METRIC] for r in report.results if r.column == REFRESHED and r != ours)
    buckets = by_length(report, REFRESHED)
    assert sum(bucket.users for bucket in buckets) == 200
    for bucket in buckets:
        rows = (report.events_before >= bucket.low) & (report.events_before <= bucket.high)
        assert list(bucket.means) == pytest.approx([r.per_user[METRIC][rows].mean() for r in (ours, best)])
        assert bucket.difference is not None
        assert bucket.difference.mean == pytest.approx(bucket.means[0] - bucket.means[1])


def test_without_a_model_the_best_two_stand_beside_each_other() -> None:
    report = random_report(ours=None)
    first, second = contenders(report, REFRESHED)
    assert {first.model, second.model} <= set(BASELINES)
    assert first.means[METRIC] >= second.means[METRIC]
    alone = random_report(baselines=())
    assert [result.model for result in contenders(alone, REFRESHED)] == [OURS]
    assert all(bucket.difference is None for bucket in by_length(alone, REFRESHED))
