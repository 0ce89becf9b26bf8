"""Many tests in place of one. A fold is a `Split` like any other: what learns from it cannot know its test.

folds over users     a fold's users teach nothing: neither weights, graph and memories nor what validation chooses;
                     their histories are inputs of the test alone. Each user that can be asked is asked once.
rolling origin       cuts through time, each window after the other; before each cut all may teach, after it nothing
  ────────┬ test 1 ┬ test 2 ┬ test 3 ┐   ends with the newest event (Tashman 2000)
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from graph.arrays import Bools
from graph.snapshot import EventLog, Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US, format_time
from training.evaluation.protocols import Split, time_split

FOLD_SEED = 0


def user_folds(split: Split, folds: int) -> Iterator[Split]:
    """The split's test, a part of its users at a time, each time without them in all that comes before it.

    Users who are asked nothing teach in every fold. Raises BadInputError where there are fewer users than folds.
    """
    asked = len(split.test)
    if not 2 <= folds <= asked:
        raise BadInputError(
            f"{asked:,} users can be asked: that makes no {folds} folds.",
            hint=f"Choose from 2 to {asked} folds, or a longer test window.",
        )
    fold = np.random.default_rng(FOLD_SEED).permutation(asked) % folds
    for number in range(folds):
        held_out = np.zeros(len(split.trained.users), np.bool_)
        held_out[split.test.users[fold == number]] = True
        validation = split.validation.select(~held_out[split.validation.users])
        if not len(validation):
            raise BadInputError(
                f"Fold {number + 1} of {folds} leaves no user to validate on.",
                hint="Ask for a longer validation window.",
            )
        yield replace(
            split,
            settings={**split.settings, "fold": number + 1, "folds": folds, "fold_seed": FOLD_SEED},
            trained=_without(split.trained, held_out),
            refreshed=_without(split.refreshed, held_out),
            validation=validation,
            test=split.test.select(fold == number),
            validation_outcomes=split.validation_outcomes.select(
                np.flatnonzero(~held_out[split.validation_outcomes.users])
            ),
            test_outcomes=split.test_outcomes.select(np.flatnonzero(held_out[split.test_outcomes.users])),
        )


def rolling_origins(
    snapshot: Snapshot, origins: int, *, end: int, window_days: float, validation_days: float
) -> Iterator[Split]:
    """Time splits whose test windows follow each other without a gap, the last one before `end` (microseconds).

    Raises BadInputError where the first cut would lie before the data.
    """
    window = round(window_days * DAY_US)
    if origins < 1 or window <= 0:
        raise BadInputError("There must be one origin at least, and a window longer than nothing.")
    first = end - origins * window
    begin = int(snapshot.events.occurred_at.min(initial=end))
    if first - round(validation_days * DAY_US) <= begin:
        raise BadInputError(
            f"The first of {origins} windows begins at {format_time(first)}, too near to the first event at "
            f"{format_time(begin)} to learn and validate before it.",
            hint="Ask for fewer origins, or for shorter windows with --holdout-days and --validation-days.",
        )
    for number in range(origins):
        start = first + number * window
        split = time_split(snapshot, test_start=start, test_end=start + window, validation_days=validation_days)
        yield replace(split, settings={**split.settings, "origin": number + 1, "origins": origins})


def _without(snapshot: Snapshot, users: Bools) -> Snapshot:
    """The snapshot without a trace of the events of some users, bool `[U]`, not even withdrawn ones."""
    log = snapshot.log
    kept = ~users[log.events.user]
    return replace(snapshot, log=EventLog(log.events.take(kept), log.withdrawn_at[kept]))
