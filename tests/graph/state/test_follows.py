"""Counts that are counted on equal counts from the start, to the last bit, and so do the strongest of them."""

from unittest.mock import patch

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.arrays import Bools
from graph.events import Events
from graph.follow_counts import Entries, entries_of
from graph.state import follows as module
from graph.state.follows import Follows, follows_of, near_changes

N_ITEMS = 6
Row = tuple[int, int, int, int, bool, bool]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 2),  # user
        st.integers(0, N_ITEMS - 1),
        st.integers(0, 25),  # when
        st.integers(-1, 0),  # sequence
        st.sampled_from([True, True, True, False]),  # counted before
        st.sampled_from([True, True, True, False]),  # counts after
    ),
    max_size=40,
)


def columns(rows: list[Row]) -> tuple[Events, Bools, Bools]:
    user, item, when, sequence, was, shown = np.array(rows, np.int64).reshape(-1, 6).T
    order = np.lexsort((item, sequence, when, user))
    n = np.zeros(len(rows), np.int64)
    events = Events(
        user.astype(np.int32), item.astype(np.int32), n.astype(np.int16), n.astype(np.float32), when, sequence, n, n
    )
    return events.take(order), was[order] > 0, shown[order] > 0


def changing(events: Events, changed: Bools, max_distance: int) -> Bools:
    return near_changes(events.user, events.occurred_at, events.sequence, changed, max_distance)


def entries(events: Events, rows: Bools, max_distance: int) -> Entries:
    e = events.take(rows)
    return entries_of(e.user, e.item, e.occurred_at, e.sequence, np.arange(N_ITEMS), max_distance)


def dense(follows: Follows) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    whole: np.ndarray[tuple[int, int], np.dtype[np.int64]] = (follows.base + follows.changes).toarray()
    return whole


@settings(max_examples=400, deadline=None)
@given(rows=ROWS, max_distance=st.integers(1, 4), keep=st.integers(1, 4), most=st.sampled_from([0.0, 100.0]))
def test_counted_on_is_counted_anew(rows: list[Row], max_distance: int, keep: int, most: float) -> None:
    events, was, shown = columns(rows)
    known_before = int(events.item[was].max(initial=-1)) + 1  # other items came with the new rows
    before = follows_of(entries(events, was, max_distance), known_before, keep)
    whole = follows_of(entries(events, shown, max_distance), N_ITEMS, keep)
    counted = was | shown
    near = np.zeros(len(was), np.bool_)
    near[counted] = changing(events.take(counted), (was != shown)[counted], max_distance)
    with patch.object(module, "MOST_CHANGES", most):
        now = before.plus(
            entries(events, near & shown, max_distance), entries(events, near & was, max_distance), N_ITEMS
        )
    assert np.array_equal(dense(now), dense(whole))
    assert np.array_equal(now.strongest.toarray(), whole.strongest.toarray())


def test_only_what_is_near_a_change_is_counted_again() -> None:
    rows = [(0, k % N_ITEMS, k, -1, True, k != 50) for k in range(100)]
    rows += [(1, 0, k, -1, True, True) for k in range(100)]
    events, was, shown = columns(rows)
    near = changing(events, was != shown, 3)
    assert np.flatnonzero(near).tolist() == [47, 48, 49, 50, 51, 52, 53]
    assert not changing(events, np.zeros(200, np.bool_), 3).any()
