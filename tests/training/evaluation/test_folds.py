"""No fold's users teach the model, and no window's events teach an earlier one."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from graph.histories import histories_of
from graph.snapshot import EventLog, Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US
from training.evaluation.folds import rolling_origins, user_folds
from training.evaluation.protocols import Split, leave_one_out, time_split

Make = Callable[..., Snapshot]
USERS, ITEMS, DAYS = 23, 40, 40


@pytest.fixture
def whole(make_snapshot: Make) -> Snapshot:
    random = np.random.default_rng(6)
    rows = [(int(u), int(i), float(d)) for u, i, d in random.integers(0, [USERS, ITEMS, DAYS], (500, 3))]
    return make_snapshot(rows, n_items=ITEMS, as_of_day=DAYS)


@pytest.fixture(params=["time", "leave-one-out"])
def split(whole: Snapshot, request: pytest.FixtureRequest) -> Split:
    if request.param == "leave-one-out":
        return leave_one_out(whole, order="shuffled")
    return time_split(whole, test_start=30 * DAY_US, validation_days=8)


def test_no_folds_users_teach_the_model(split: Split) -> None:
    for fold in user_folds(split, 4):
        held_out = set(fold.test.users.tolist())
        assert held_out
        for snapshot in (fold.trained, fold.refreshed):
            assert not held_out & set(snapshot.log.events.user.tolist())
            assert not histories_of(snapshot).lengths[sorted(held_out)].any()
            assert not held_out & set(snapshot.until(20 * DAY_US).events.user.tolist())
        assert not held_out & set(fold.validation.users.tolist())


def test_everybody_else_teaches_all_that_they_did(split: Split) -> None:
    for fold in user_folds(split, 4):
        others = np.setdiff1d(np.arange(len(split.trained.users)), fold.test.users)
        for theirs, before in ((fold.trained, split.trained), (fold.refreshed, split.refreshed)):
            kept = np.isin(before.log.events.user, others)
            np.testing.assert_array_equal(theirs.log.events.id, before.log.events.id[kept])
        assert len(fold.validation) == np.isin(split.validation.users, others).sum()


def test_each_user_is_asked_once_with_the_history_as_input(split: Split) -> None:
    folds = list(user_folds(split, 4))
    asked = np.concatenate([fold.test.users for fold in folds])
    assert sorted(asked.tolist()) == split.test.users.tolist()
    assert max(len(fold.test) for fold in folds) - min(len(fold.test) for fold in folds) <= 1
    for fold in folds:
        rows = np.searchsorted(split.test.users, fold.test.users)
        before = split.test.select(rows)
        np.testing.assert_array_equal(fold.test.histories.item, before.histories.item)
        np.testing.assert_array_equal(fold.test.relevance.toarray(), before.relevance.toarray())
        assert fold.test.histories.lengths.min() > 0
    assert [fold.settings["fold"] for fold in folds] == [1, 2, 3, 4]
    again = [fold.test.users.tolist() for fold in user_folds(split, 4)]
    assert again == [fold.test.users.tolist() for fold in folds]


def test_what_a_fold_has_withdrawn_is_gone_too(whole: Snapshot) -> None:
    log = whole.log
    withdrawn = replace(whole, log=EventLog(log.events, np.where(np.arange(len(log.events)) % 3, log.withdrawn_at, 1)))
    split = time_split(withdrawn, test_start=30 * DAY_US, validation_days=8)
    for fold in user_folds(split, 2):
        assert not np.isin(fold.refreshed.log.events.user, fold.test.users).any()
        assert len(fold.refreshed.log.events) == len(fold.refreshed.log.withdrawn_at)
        assert len(fold.refreshed.events) < len(fold.refreshed.log.events)


@pytest.mark.parametrize("folds", [-1, 0, 1, USERS + 1])
def test_a_number_of_folds_that_cannot_be_is_refused(split: Split, folds: int) -> None:
    with pytest.raises(BadInputError, match="folds"):
        next(user_folds(split, folds))


def test_a_fold_that_leaves_nobody_to_validate_on_is_refused(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (1, 1, 1), (0, 1, 7), (0, 1, 12), (1, 0, 12)]  # only user 0 has an event to validate on
    split = time_split(make_snapshot(rows, n_items=2), test_start=10 * DAY_US, validation_days=5)
    with pytest.raises(BadInputError, match="no user to validate"):
        list(user_folds(split, 2))


def test_windows_follow_each_other_and_teach_no_earlier_one(whole: Snapshot) -> None:
    end = DAYS * DAY_US
    splits = list(rolling_origins(whole, 3, end=end, window_days=6, validation_days=5))
    starts = [(DAYS - 18) * DAY_US, (DAYS - 12) * DAY_US, (DAYS - 6) * DAY_US]
    events = whole.events
    for number, (split, start) in enumerate(zip(splits, starts, strict=True), 1):
        assert split.refreshed.as_of == start
        assert split.trained.as_of == start - 5 * DAY_US
        for snapshot in (split.trained, split.refreshed):
            assert (snapshot.log.events.occurred_at < snapshot.as_of).all()
        assert (split.test.histories.occurred_at < start).all()
        assert (split.test.now_us == start).all()
        window = (events.occurred_at >= start) & (events.occurred_at < start + 6 * DAY_US)
        pairs = set(zip(events.user[window].tolist(), events.item[window].tolist(), strict=True))
        row = np.repeat(split.test.users, np.diff(split.test.relevance.indptr))
        assert set(zip(row.tolist(), split.test.relevance.indices.tolist(), strict=True)) <= pairs
        assert (split.settings["origin"], split.settings["origins"]) == (number, 3)
    first, second, _ = splits
    assert first.settings["test_end"] == second.settings["test_start"]


def test_origins_before_the_data_are_refused(whole: Snapshot) -> None:
    with pytest.raises(BadInputError, match="too near to the first event"):
        list(rolling_origins(whole, 6, end=DAYS * DAY_US, window_days=6, validation_days=5))
    for origins, days in ((0, 6.0), (2, 0.0), (2, -1.0)):
        with pytest.raises(BadInputError, match="at least"):
            list(rolling_origins(whole, origins, end=DAYS * DAY_US, window_days=days, validation_days=5))
