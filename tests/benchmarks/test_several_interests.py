"""Whose tastes are broad, and what several interests are worth to them."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.several_interests import Judged, breadth, measure, row
from graph.histories import histories_of
from tests.graph import conftest as snapshots
from tests.graph.conftest import MakeSnapshot

make_snapshot = snapshots.make_snapshot


def test_breadth_is_the_entropy_over_top_categories(make_snapshot: MakeSnapshot) -> None:
    # categories 0 and 1 are the top ones, 2 lies below 0: items 0 and 1 are of the same top category, item 2 is not
    rows = [(0, 0, 1, 1, 0), (0, 1, 1, 2, 0), (1, 0, 1, 1, 0), (1, 2, 1, 2, 0)]
    snapshot = make_snapshot(rows, n_users=3, parents=(-1, -1, 0), item_category=((0, 0), (1, 2), (2, 1)))
    assert breadth(histories_of(snapshot), snapshot) == pytest.approx([0, np.log(2), 0])


def test_a_row_tells_both_halves_apart() -> None:
    broad = np.array([True] * 20 + [False] * 20)
    one = Judged(np.full(40, 0.25), broad, np.ones(40))
    several = Judged(np.where(broad, 0.5, 0.25), broad, np.where(broad, 3.0, 2.0))
    found = row(several, one)
    assert found["broad"] == {"ndcg@10": 0.5, "ahead": [0.25, 0.25, 0.25], "interests": 3.0, "users": 20}
    assert found["others"]["ahead"] == [0, 0, 0]


def test_it_measures_made_up_shops(tmp_path: Path) -> None:
    measure(argparse.Namespace(width=16, interests=[2], shops=1, users=60, events=2_000, epochs=1, folder=tmp_path))
    found = json.loads((tmp_path / "several-interests.json").read_text())
    assert list(found["rows"]) == ["1 of 16", "2 of 8"]
    assert found["rows"]["1 of 16"]["broad"]["ahead"] == [0, 0, 0]
    assert 1 <= found["rows"]["2 of 8"]["broad"]["interests"] <= 2
