"""How an item sells, against counting by hand."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graph.histories import histories_from_arrays
from graph.memories.pace import MINUTE_US, NEVER_DAYS, pace_of
from graph.storage.times import DAY_US, EVER_US, NEVER_US

HOUR_US = DAY_US // 24
events_ = st.lists(st.tuples(st.integers(0, 3), st.integers(-200, 200)), max_size=30)


@given(events_, st.integers(0, 3), st.integers(-220, 220), st.integers(1, 150))
def test_counts_are_those_of_the_span(events: list[tuple[int, int]], item: int, hour: int, hours: int) -> None:
    """[now - days, now), before 1970 too."""
    items, when = [i for i, _ in events], [h * HOUR_US for _, h in events]
    pace = pace_of(histories_from_arrays([0] * len(events), items, when, n_users=1, n_items=4))
    asked, now = np.array([item]), np.array([hour * HOUR_US])
    mine = [h for i, h in events if i == item and h < hour]
    assert pace.counts(asked, now).tolist() == [len(mine)]
    assert pace.counts(asked, now, hours / 24).tolist() == [sum(h >= hour - hours for h in mine)]
    expected = [(hour - each(mine)) / 24 if mine else NEVER_DAYS for each in (max, min)]
    np.testing.assert_allclose([pace.idle_days(asked, now)[0], pace.age_days(asked, now)[0]], expected, rtol=1e-6)


def test_times_beyond_all_years_are_moved_to_the_border() -> None:
    pace = pace_of(histories_from_arrays([0, 0], [1, 1], [EVER_US, NEVER_US - 1], n_items=3))
    assert pace.counts(np.array([0, 1, 2]), np.full(3, 0)).tolist() == [0, 1, 0]
    assert pace.age_days(np.array([1]), np.array([NEVER_US - 1])).tolist() == [NEVER_DAYS]


def test_an_event_in_the_minute_of_the_question_is_not_before_it() -> None:
    pace = pace_of(histories_from_arrays([0], [0], [MINUTE_US], n_items=1))
    moments = np.array([MINUTE_US, 2 * MINUTE_US - 1, 2 * MINUTE_US])
    assert pace.counts(np.zeros(3, np.int64), moments).tolist() == [0, 0, 1]
