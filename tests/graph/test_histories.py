from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.histories import Histories, histories_from_arrays, histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError

ROWS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 5), st.integers(-1, 2)), min_size=0, max_size=40
)


def rows_of(histories: Histories, row: int) -> list[tuple[int, int, int]]:
    part = slice(histories.offsets[row], histories.offsets[row + 1])
    columns = (histories.occurred_at, histories.item, histories.step)
    return list(zip(*(column[part].tolist() for column in columns), strict=True))


def build(rows: list[tuple[int, int, int, int]]) -> Histories:
    user, item, when, sequence = np.array(rows, np.int64).reshape(-1, 4).T
    return histories_from_arrays(user, item, when, sequence, n_users=4, n_items=5)


@given(ROWS)
def test_rows_are_ascending_and_steps_follow_their_rule(rows: list[tuple[int, int, int, int]]) -> None:
    histories = build(rows)
    assert histories.lengths.sum() == len(rows)
    for user in range(4):
        mine = sorted((when, sequence, item) for u, item, when, sequence in rows if u == user)
        moments = sorted({(when, sequence) for when, sequence, _ in mine})
        expected = [(when, item, moments.index((when, sequence))) for when, sequence, item in mine]
        assert rows_of(histories, user) == expected


@given(ROWS, st.lists(st.integers(0, 3), max_size=6), st.integers(0, 6), st.integers(1, 4))
def test_select_until_and_last(rows: list[tuple[int, int, int, int]], users: list[int], t: int, n: int) -> None:
    histories = build(rows)
    selected = histories.select(users)
    assert [rows_of(selected, row) for row in range(len(users))] == [rows_of(histories, user) for user in users]

    cut = histories.until(t)
    each = histories.until(np.array([t, 0, 9, t]))
    newest = histories.last(n)
    for user in range(4):
        events = rows_of(histories, user)
        assert rows_of(cut, user) == [event for event in events if event[0] < t]
        assert rows_of(each, user) == [event for event in events if event[0] < (t, 0, 9, t)[user]]
        tail = events[-n:]
        first = tail[0][2] if tail else 0
        assert rows_of(newest, user) == [(when, item, step - first) for when, item, step in tail]
    assert np.array_equal(histories.row_of, np.sort([row[0] for row in rows]))


def test_events_of_one_instant_share_a_step_and_a_sequence_parts_them() -> None:
    assert histories_from_arrays([0, 0, 0], [2, 1, 0], [7, 7, 8]).step.tolist() == [0, 0, 1]
    assert histories_from_arrays([0, 0, 0], [2, 1, 0], [7, 7, 8], [0, 1, 2]).step.tolist() == [0, 1, 2]


def test_dislikes_are_no_part_of_a_history(make_snapshot: Callable[..., Snapshot]) -> None:
    snapshot = make_snapshot([(0, 1, 0, 1, -1), (0, 2, 2, 2, -1), (0, 3, 3, 3, -1), (2, 4, 1, 1, -1)])
    histories = histories_of(snapshot)
    assert histories.offsets.tolist() == [0, 2, 2, 3]
    assert histories.item.tolist() == [1, 3, 4]
    assert (len(histories), histories.n_items) == (3, 6)


def test_wrong_columns_are_refused() -> None:
    with pytest.raises(BadInputError, match="differ in length"):
        histories_from_arrays([0, 0], [1], [1, 2])
    with pytest.raises(BadInputError, match="outside"):
        histories_from_arrays([0], [5], [1], n_items=5)
    assert len(histories_from_arrays([], [], [], n_users=2)) == 2
