"""Items without events, and who stands in for them."""

from collections.abc import Callable

import numpy as np
import pytest

from graph.histories import histories_of
from graph.memories.pace import Pace, pace_of
from graph.snapshot import Snapshot
from graph.stand_ins import LEAST_NOVELTY, novelty, stand_ins

VIEW = 0
MakeSnapshot = Callable[..., Snapshot]


def pace_for(snapshot: Snapshot) -> Pace:
    return pace_of(histories_of(snapshot))


@pytest.fixture
def snapshot(make_snapshot: MakeSnapshot) -> Snapshot:
    """Items 0-3 have events, 4-6 none. Category 0 holds all but item 6, category 1 has 0 and 4, 2 has 1, 2 and 5."""
    rows = [(user, item, VIEW, day, -1) for day, (user, item) in enumerate([(0, 0), (0, 1), (1, 2), (1, 3), (2, 0)])]
    category = [*((item, 0) for item in range(6)), (0, 1), (4, 1), (1, 2), (2, 2), (5, 2)]
    return make_snapshot(rows, n_items=7, parents=(-1, -1, -1), item_category=category)


def test_those_of_the_same_rare_category_stand_in(snapshot: Snapshot) -> None:
    lent = stand_ins(snapshot, pace_for(snapshot), None, ())
    assert lent is not None
    weights = lent.weights.toarray()
    assert (weights[:4] == 0).all()  # known items need nobody
    assert weights[4].argmax() == 0
    assert weights[4, 0] > 0.99  # the same brand against a category of nearly all
    assert weights[5, 1] == pytest.approx(weights[5, 2])
    assert weights[5, [1, 2]].sum() > 0.99
    assert (weights[6] == 0).all()  # nothing is known of it
    assert weights[[4, 5]].sum(axis=1) == pytest.approx(1)


def test_features_count_beside_the_categories(snapshot: Snapshot) -> None:
    """Item 6 is in no category, and has the picture of item 3."""
    x = np.zeros((7, 3), np.float32)
    x[[3, 6], 0], x[:3, 1], x[[0, 1, 2, 3, 6], 2] = 2, 1, 1  # the last column: who has a picture
    lent = stand_ins(snapshot, pace_for(snapshot), x, (2,))
    assert lent is not None
    assert lent.weights.toarray()[6].tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_nobody_stands_in_where_all_are_known_or_none(make_snapshot: MakeSnapshot) -> None:
    every = make_snapshot([(0, item, VIEW, item, -1) for item in range(3)], n_items=3)
    assert stand_ins(every, pace_for(every), None, ()) is None
    nothing = make_snapshot([], n_items=3)
    assert stand_ins(nothing, pace_for(nothing), None, ()) is None
    assert novelty(pace_for(every), every.item_exists) == novelty(pace_for(nothing), nothing.item_exists) == 1


def test_how_often_the_newest_events_were_the_first_of_an_item(make_snapshot: MakeSnapshot) -> None:
    """Of the last ten of a hundred events two are of items that had none before; half of the catalog has none yet."""
    old = [(0, n % 8, VIEW, n // 2, n) for n in range(90)]
    new = [(1, 8 + n if n < 2 else n % 8, VIEW, 50 + n, -1) for n in range(10)]
    snapshot = make_snapshot([*old, *new], n_items=20)
    assert novelty(pace_for(snapshot), snapshot.item_exists) == pytest.approx(0.2 / 0.5)
    some = np.arange(20) < 15  # of the ten without events five are not there yet, or gone
    assert novelty(pace_for(snapshot), some) == pytest.approx(0.2 / (5 / 15))
    gone = np.arange(20) >= 5  # five of the ten with events
    assert novelty(pace_for(snapshot), gone) == pytest.approx(0.2 / (10 / 15))
    days = make_snapshot([*old, *((1, 8 + n if n < 2 else n % 8, VIEW, 50, -1) for n in range(20))], n_items=20)
    assert novelty(pace_for(days), days.item_exists) == pytest.approx(0.1 / 0.5)  # a fifth at the newest instant
    stale = make_snapshot(old, n_items=20)
    assert novelty(pace_for(stale), stale.item_exists) == LEAST_NOVELTY
