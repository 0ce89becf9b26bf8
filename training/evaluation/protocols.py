"""Which events a model may learn from, and which questions it is asked afterwards. Two protocols, two columns each.

time split                        as trained: events before the validation window     refreshed: before the test window
  ────────────┬── validation ──┬──── test ────┬──>   windows [start, start + Δ), an event at the cut is a label
leave-one-out                     as trained: all but each user's last two events     refreshed: all but the last
  the last event is the test, the one before the validation; inputs hold everything before the target in every column

A column is a Snapshot: graph, memories and baselines are made from it, weights from *as trained* alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from graph.arrays import Bools, Int64s
from graph.histories import Histories, histories_of
from graph.snapshot import EventLog, Events, Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US, NEVER_US, format_time
from training.evaluation.guard import require_unknown
from training.evaluation.outcomes import Outcomes, outcomes_of
from training.evaluation.queries import Queries, queries_of

Order = Literal["published", "shuffled"]
AS_TRAINED = "as trained"
REFRESHED = "refreshed"
SHUFFLE_SEED = 0


@dataclass(frozen=True, eq=False)
class Split:
    """No snapshot in here holds a test event, `trained` no validation event either; labels are in `Queries` alone.

    Raises BadInputError otherwise.
    """

    protocol: str
    settings: Mapping[str, Any]
    trained: Snapshot
    refreshed: Snapshot
    validation: Queries
    test: Queries
    validation_outcomes: Outcomes
    test_outcomes: Outcomes
    data_hash: str

    def __post_init__(self) -> None:
        require_unknown(self.trained, self.validation, "the validation")
        require_unknown(self.refreshed, self.test, "the test")

    @property
    def columns(self) -> dict[str, Snapshot]:
        return {AS_TRAINED: self.trained, REFRESHED: self.refreshed}


def time_split(
    snapshot: Snapshot, *, test_start: int, test_end: int | None = None, validation_days: float | None = None
) -> Split:
    """The global time split: what holds at one moment is asked about the window after it.

    Relevant are the distinct items of the window; asked are users with an event before it and one in it; candidates
    are the catalog at the cut (a relevant item unknown then counts as missed).

    Args:
        test_start: the cut, microseconds.
        test_end: end of the window, exclusive; default the snapshot's `as_of`.
        validation_days: length of the validation window before the cut; default the test window's.
    """
    test_end = snapshot.as_of if test_end is None else test_end
    window = test_end - test_start if validation_days is None else round(validation_days * DAY_US)
    if not test_start < test_end or window <= 0:
        raise BadInputError(
            f"The window from {format_time(test_start)} to {format_time(test_end)} is empty.",
            hint="Choose a test start before its end, and a validation window longer than nothing.",
        )
    whole = snapshot.until(test_end)
    refreshed = _sealed(snapshot.until(test_start))
    trained = _sealed(snapshot.until(test_start - window))
    return Split(
        protocol="time",
        settings={
            "train_end": format_time(test_start - window),
            "test_start": format_time(test_start),
            "test_end": format_time(test_end),
        },
        trained=trained,
        refreshed=refreshed,
        validation=_window_queries(trained, refreshed),
        test=_window_queries(refreshed, whole),
        validation_outcomes=_window_outcomes(trained, refreshed),
        test_outcomes=_window_outcomes(refreshed, whole),
        data_hash=whole.content_hash,
    )


def leave_one_out(snapshot: Snapshot, *, order: Order = "published") -> Split:
    """Each user's last event is the test, the one before the validation; users with fewer than three only train.

    The published order is that of the store: time, then `sequence`, then item. `shuffled` first puts the items of a
    day into random order (a uniform number per event in the order of their ids; sort by user, day, number) and numbers
    them anew: papers' files are sorted inside a day, and a sequential model reads that. Other users' later events are
    in training: fine for comparing with papers, the time split decides. Events of kinds with sign < 0 take no part; a
    rating counts whatever its value, as in papers.
    """
    snapshot = replace(snapshot, kinds=tuple(replace(kind, middle=None) for kind in snapshot.kinds))
    sign = np.array([kind.sign for kind in snapshot.kinds] or [0])
    events = snapshot.events.take(sign[snapshot.events.kind] >= 0)
    if order == "shuffled":
        events = _shuffled_days(events)
    counts = np.bincount(events.user, minlength=len(snapshot.users))
    from_end = np.repeat(np.cumsum(counts), counts) - np.arange(len(events))  # 1 = the user's last event
    asked = counts[events.user] >= 3
    if not asked.any():
        raise BadInputError("No user has three events, so there is nothing to leave out.", hint="Use --protocol time.")
    trained = _with_events(snapshot, events.take(~asked | (from_end > 2)))
    refreshed = _with_events(snapshot, events.take(~asked | (from_end > 1)))
    return Split(
        protocol="leave-one-out",
        settings={"order": order, "shuffle_seed": SHUFFLE_SEED if order == "shuffled" else None},
        trained=trained,
        refreshed=refreshed,
        validation=_target_queries(trained, events, asked & (from_end == 2)),
        test=_target_queries(refreshed, events, asked & (from_end == 1)),
        validation_outcomes=_target_outcomes(trained, events, asked & (from_end == 2)),
        test_outcomes=_target_outcomes(refreshed, events, asked & (from_end == 1)),
        data_hash=snapshot.content_hash,
    )


def _window_queries(before: Snapshot, whole: Snapshot) -> Queries:
    """What users with a history did in [before.as_of, whole.as_of)."""
    histories, outcome = histories_of(before), histories_of(whole)
    label = outcome.occurred_at >= before.as_of
    user, item = outcome.row_of[label], outcome.item[label]
    asked = histories.lengths > 0
    asked &= np.bincount(user, minlength=len(histories)) > 0
    users = np.flatnonzero(asked).astype(np.int32)
    if not len(users):
        raise BadInputError(
            f"No user has an event before {format_time(before.as_of)} and one in the window after it.",
            hint="Choose another cut or a longer window.",
        )
    mine = asked[user]
    row = np.searchsorted(users, user[mine])
    now_us = np.full(len(users), before.as_of, dtype=np.int64)
    return queries_of(users, histories.select(users), now_us, row, item[mine], before.item_exists)


def _target_queries(before: Snapshot, events: Events, target: Bools) -> Queries:
    """One relevant item a user: the event that `target` marks, after everything of the user's in `before`.

    They are asked when the user did what stands last in the history: when the next event comes is not known.
    """
    users = events.user[target]
    histories = histories_of(before).select(users)
    row, now_us = np.arange(len(users)), _last_event(histories)
    return queries_of(users, histories, now_us, row, events.item[target], before.item_exists)


def _window_outcomes(before: Snapshot, whole: Snapshot) -> Outcomes:
    """What all users with a history did in [before.as_of, whole.as_of), those included who did nothing."""
    days = (whole.as_of - before.as_of) / DAY_US
    now_us = np.full(len(before.users), before.as_of, np.int64)
    return outcomes_of(histories_of(before), now_us, histories_of(whole).since(before.as_of), days, before.kinds)


def _target_outcomes(before: Snapshot, events: Events, target: Bools) -> Outcomes:
    """The event that `target` marks, asked about as in `_target_queries`."""
    histories = histories_of(before)
    after = histories_of(_with_events(before, events.take(target)))
    return outcomes_of(histories, _last_event(histories), after, None, before.kinds)


def _last_event(histories: Histories) -> Int64s:
    """int64 [U]: when each row ends, 0 for an empty one."""
    if not len(histories.item):
        return np.zeros(len(histories), np.int64)
    return np.where(histories.lengths > 0, histories.occurred_at[histories.offsets[1:] - 1], 0)


def _shuffled_days(events: Events) -> Events:
    """Items of one day in random order, each a step of its own; the time of day is gone with the order."""
    day = events.occurred_at // DAY_US
    number = np.random.default_rng(SHUFFLE_SEED).random(len(events))[np.argsort(np.argsort(events.id))]
    shuffled = events.take(np.lexsort((number, day, events.user)))
    return replace(shuffled, occurred_at=shuffled.occurred_at // DAY_US * DAY_US, sequence=_position(shuffled))


def _position(events: Events) -> Int64s:
    counts = np.bincount(events.user)
    return np.arange(len(events)) - np.repeat(np.cumsum(counts) - counts, counts)


def _with_events(snapshot: Snapshot, events: Events) -> Snapshot:
    """The snapshot with other events, its past included: nothing left out can be found in its log."""
    return replace(snapshot, log=EventLog(events, np.full(len(events), NEVER_US)))


def _sealed(snapshot: Snapshot) -> Snapshot:
    """Without what its log knows of later times."""
    log, as_of = snapshot.log, snapshot.as_of
    earlier = log.events.occurred_at < as_of
    withdrawn_at = log.withdrawn_at[earlier]
    return replace(
        snapshot, log=EventLog(log.events.take(earlier), np.where(withdrawn_at >= as_of, NEVER_US, withdrawn_at))
    )
