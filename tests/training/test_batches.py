"""Batches against a plain walk over the histories."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.histories import Histories, histories_from_arrays
from training.batches import bucketed, make_batch, newest_windows, training_batches, training_windows

Event = tuple[int, int, int]
events = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 12)), max_size=60)


def histories(rows: list[Event]) -> Histories:
    user, item, second = (np.array(column, np.int64) for column in (zip(*rows, strict=True) if rows else ([], [], [])))
    return histories_from_arrays(user, item, second * 1_000_000, n_users=6, n_items=10)


def steps_of(rows: list[Event]) -> list[list[list[int]]]:
    """For each user the list of steps, each the sorted items of one instant."""
    users: list[list[list[int]]] = []
    for user in range(6):
        times = sorted({second for u, _, second in rows if u == user})
        users.append([sorted(i for u, i, second in rows if u == user and second == t) for t in times])
    return users


@settings(deadline=None)
@given(events, st.integers(1, 4))
def test_every_event_is_a_target_once_and_reads_only_earlier_steps(rows: list[Event], max_history: int) -> None:
    windows = training_windows(histories(rows), max_history)
    expected: Counter[tuple[tuple[tuple[int, ...], ...], int]] = Counter()
    for steps in steps_of(rows):
        for stop in range(len(steps), 0, -max_history):
            first = max(0, stop - max_history)
            for place in range(first if first == 0 else first + 1, stop):
                seen = tuple(tuple(step) for step in steps[first:place])
                expected.update((seen, item) for item in steps[place])
    found: Counter[tuple[tuple[tuple[int, ...], ...], int]] = Counter()
    for batch in training_batches(windows, positions=12, seed=0, epoch=0):
        width = batch.gap.shape[1]
        for query, target in zip(batch.query.tolist(), batch.target.tolist(), strict=True):
            begin = query - query % width
            read = [
                tuple(sorted(batch.event_item[batch.event_position == position].tolist()))
                for position in range(begin, query + 1)
            ]
            assert read[0] == ()  # the start holds no event
            found[(tuple(read[1:]), target)] += 1
    assert found == expected


@settings(deadline=None)
@given(events, st.integers(1, 4))
def test_serving_reads_the_newest_steps(rows: list[Event], max_history: int) -> None:
    windows = newest_windows(histories(rows), max_history)
    batch = make_batch(windows, np.arange(len(windows)), training=False)
    width = batch.gap.shape[1]
    for user, steps in enumerate(steps_of(rows)):
        newest = steps[-max_history:]
        assert int(batch.last[user]) == user * width + len(newest)
        for place, step in enumerate(newest):
            position = user * width + place + 1
            assert sorted(batch.event_item[batch.event_position == position].tolist()) == step
    assert len(batch.query) == len(batch.target) == 0


def test_gap_is_the_logarithm_of_the_seconds_since_the_step_before() -> None:
    row = histories([(0, 1, 0), (0, 2, 1), (0, 3, 3), (0, 4, 11), (0, 5, 11), (1, 1, 5)])
    batch = make_batch(newest_windows(row, 10), np.arange(2), training=False)
    assert batch.gap[0].tolist() == [0, 0, 2, 3, 5]  # start, first, 1 s, 2 s, 8 s
    assert batch.gap[1].tolist() == [0, 0, 0, 0, 0]


def test_a_cut_history_still_knows_the_gap_before_its_first_step() -> None:
    row = histories([(0, 1, 0), (0, 2, 8)])
    assert make_batch(newest_windows(row, 1), np.arange(1), training=False).gap.tolist() == [[0, 5]]


@given(st.lists(st.integers(0, 30), max_size=50), st.integers(1, 100), st.integers(0, 3))
def test_buckets_hold_every_window_once_within_the_budget(lengths: list[int], positions: int, seed: int) -> None:
    steps = np.array(lengths, np.int64)
    batches = bucketed(steps, positions, np.random.default_rng(seed))
    assert sorted(np.concatenate([np.zeros(0, np.int64), *batches]).tolist()) == list(range(len(steps)))
    assert all(len(batch) == 1 or len(batch) * (steps[batch].max() + 1) <= positions for batch in batches)


def test_order_follows_from_seed_and_epoch() -> None:
    windows = training_windows(histories([(u, u, s) for u in range(6) for s in range(u + 1)]), 10)

    def first(seed: int, epoch: int, skip: int = 0) -> list[list[int]]:
        return [batch.target.tolist() for batch in training_batches(windows, 4, seed, epoch, skip)]

    assert first(0, 0) == first(0, 0)
    assert first(0, 0)[2:] == first(0, 0, skip=2)
    assert first(0, 0) != first(0, 1)
    assert first(0, 0) != first(1, 0)


@pytest.mark.parametrize("users", [[0], [2]])
def test_an_empty_history_stands_at_the_start(users: list[int]) -> None:
    batch = make_batch(newest_windows(histories([(0, 1, 0)]).select(users), 5), np.arange(1), training=False)
    assert batch.last.tolist() == [1 if users == [0] else 0]
