"""Both protocols on examples small enough to see every event."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from graph.histories import histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US
from training.evaluation.protocols import leave_one_out, time_split
from training.evaluation.queries import Queries

Make = Callable[..., Snapshot]


def asked(queries: Queries) -> dict[int, tuple[list[int], list[int]]]:
    """user -> (items of the input, relevant items)."""
    return {
        int(user): (
            queries.histories.select([row]).item.tolist(),
            np.sort(queries.relevance[[row]].indices).tolist(),
        )
        for row, user in enumerate(queries.users)
    }


def items_of(snapshot: Snapshot) -> list[list[int]]:
    histories = histories_of(snapshot)
    return [histories.select([user]).item.tolist() for user in range(len(histories))]


def test_an_event_at_the_cut_is_a_label_and_one_at_the_end_is_not(make_snapshot: Make) -> None:
    rows = [(0, 0, 9.999), (0, 1, 10), (0, 2, 19.999), (0, 3, 20), (0, 0, 4.999), (0, 4, 5)]
    split = time_split(make_snapshot(rows, n_items=5), test_start=10 * DAY_US, test_end=20 * DAY_US, validation_days=5)
    assert asked(split.test) == {0: ([0, 4, 0], [1, 2])}
    assert asked(split.validation) == {0: ([0], [0, 4])}
    assert items_of(split.trained) == [[0]]
    assert items_of(split.refreshed) == [[0, 4, 0]]
    assert split.test.now_us.tolist() == [10 * DAY_US]


def test_only_users_with_a_past_and_a_window_are_asked(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (1, 1, 12), (2, 2, 1), (2, 3, 12), (3, 0, 6), (3, 0, 12), (3, 0, 13), (2, 1, 6)]
    split = time_split(make_snapshot(rows, n_items=4), test_start=10 * DAY_US, validation_days=5)
    assert asked(split.test) == {2: ([2, 1], [3]), 3: ([0], [0])}  # relevance is distinct items
    assert asked(split.validation) == {2: ([2], [1])}


def test_no_snapshot_of_a_split_knows_the_test(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (0, 1, 7), (0, 2, 12)]
    whole = make_snapshot(rows, n_items=3)
    split = time_split(whole, test_start=10 * DAY_US, validation_days=5)
    for snapshot, last_day in ((split.trained, 5), (split.refreshed, 10)):
        assert snapshot.as_of == last_day * DAY_US
        assert (snapshot.log.events.occurred_at < last_day * DAY_US).all()  # nor does its past
        with pytest.raises(BadInputError):
            snapshot.until(12 * DAY_US)
    left_out = leave_one_out(whole)
    assert left_out.refreshed.log.events.item.tolist() == [0, 1]
    assert left_out.refreshed.until(50 * DAY_US).events.item.tolist() == [0, 1]
    assert left_out.trained.log.events.item.tolist() == [0]


def test_candidates_are_the_catalog_at_the_cut(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (0, 1, 6), (0, 2, 12)]
    split = time_split(make_snapshot(rows, n_items=3, born={1: 6, 2: 11}), test_start=10 * DAY_US, validation_days=5)
    assert split.validation.catalog.tolist() == [True, False, False]
    assert split.test.catalog.tolist() == [True, True, False]
    assert asked(split.test)[0][1] == [2]  # bought, so relevant, though nobody could have shown it


def test_excluding_seen_items_takes_them_out_of_relevance_and_drops_who_has_none_left(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (0, 0, 12), (0, 1, 12), (1, 2, 1), (1, 2, 12), (1, 1, 6), (0, 3, 6)]
    split = time_split(make_snapshot(rows, n_items=4), test_start=10 * DAY_US, validation_days=5)
    assert asked(split.test.under("include")) == {0: ([0, 3], [0, 1]), 1: ([2, 1], [2])}
    assert asked(split.test.under("exclude")) == {0: ([0, 3], [1])}


def test_an_empty_window_is_refused(make_snapshot: Make) -> None:
    snapshot = make_snapshot([(0, 0, 1), (0, 1, 12)], n_items=2)
    with pytest.raises(BadInputError, match="empty"):
        time_split(snapshot, test_start=10 * DAY_US, test_end=10 * DAY_US)
    with pytest.raises(BadInputError, match="No user"):
        time_split(snapshot, test_start=10 * DAY_US, test_end=11 * DAY_US, validation_days=5)


def test_leave_one_out_by_position(make_snapshot: Make) -> None:
    rows = [(0, 3, 1), (0, 2, 1), (0, 1, 1), (0, 0, 1), (1, 0, 1), (1, 1, 2)]
    split = leave_one_out(make_snapshot(rows, n_items=4, sequence=[0, 1, 2, 3, 0, 1]))
    assert items_of(split.trained) == [[3, 2], [0, 1]]  # the user of two events only trains
    assert items_of(split.refreshed) == [[3, 2, 1], [0, 1]]
    assert asked(split.validation) == {0: ([3, 2], [1])}
    assert asked(split.test) == {0: ([3, 2, 1], [0])}
    assert split.test.histories.step.tolist() == [0, 1, 2]


def test_left_out_events_do_not_tell_when_they_come(make_snapshot: Make) -> None:
    split = leave_one_out(make_snapshot([(0, 0, 1), (0, 1, 5), (0, 2, 30), (0, 3, 90)], n_items=4))
    assert split.validation.now_us.tolist() == [5 * DAY_US]
    assert split.test.now_us.tolist() == [30 * DAY_US]


def test_leave_one_out_is_not_about_dislikes(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (0, 1, 2), (0, 2, 3), (0, 3, 4)]
    split = leave_one_out(make_snapshot(rows, n_items=4, kinds=[0, 0, 0, 1]))
    assert asked(split.test) == {0: ([0, 1], [2])}


def test_leave_one_out_needs_three_events(make_snapshot: Make) -> None:
    with pytest.raises(BadInputError, match="three events"):
        leave_one_out(make_snapshot([(0, 0, 1), (0, 1, 2)], n_items=2))


def test_shuffling_draws_in_the_order_of_arrival_and_stays_inside_days(make_snapshot: Make) -> None:
    random = np.random.default_rng(5)
    rows = [(int(u), int(i), float(d)) for u, i, d in random.integers(0, [4, 50, 5], (60, 3))]
    split = leave_one_out(make_snapshot(rows, n_items=50), order="shuffled")
    # quality.md's words: a uniform number per row in file order, sort by user, day, number
    number = np.random.default_rng(0).random(len(rows))
    user, item, day = np.array(rows, dtype=np.int64).T
    order = np.lexsort((number, day, user))
    for mine in range(4):
        expected = item[order][user[order] == mine].tolist()
        given, relevant = asked(split.test)[mine]
        assert given == expected[:-1]
        assert relevant == expected[-1:]
        steps = split.test.histories.select(np.flatnonzero(split.test.users == mine)).step
        assert all(b - a == 1 for a, b in pairwise(steps.tolist()))  # positions anew: nothing is a set any more


def test_shuffling_forgets_the_time_of_day(make_snapshot: Make) -> None:
    rows = [(0, item, 3 + item / 100) for item in range(40)]
    published, shuffled = (
        items_of(leave_one_out(make_snapshot(rows, n_items=40), order=order).refreshed)[0]
        for order in ("published", "shuffled")
    )
    assert published == sorted(published)
    assert shuffled != sorted(shuffled)
