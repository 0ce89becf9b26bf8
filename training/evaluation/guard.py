"""Who knows the answers is refused: snapshots that hold what is asked, and rankers that answer from anything but the
histories they are given.

A ranker runs in this process, so that a determined one could search its memory for the labels; this catches mistakes,
among them those that are made on purpose.
"""

from collections.abc import Callable

import numpy as np

from graph.arrays import Float32s, Int64s
from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import format_time
from training.evaluation.queries import Queries

ASKED_AGAIN = 32
"""Queries that every ranker answers twice."""
ALIKE = 0.99
"""Share of the scores that must come out the same: sums in another order differ in their last digits, and a score at a
threshold falls to its other side."""


def require_unknown(snapshot: Snapshot, queries: Queries, what: str) -> None:
    """BadInputError if the snapshot's events hold more of the asked users than the queries' histories do, or if its log
    knows of later times: what is asked would be learned."""
    log = snapshot.log.events
    if (log.occurred_at >= snapshot.as_of).any():
        raise BadInputError(
            f"The events that {what} is asked after reach beyond {format_time(snapshot.as_of)}: they hold the answers.",
            hint="Cut the snapshot and what it knows of later times.",
            reason="LEAK",
        )
    known = histories_of(snapshot).select(queries.users)
    there = np.flatnonzero(known.lengths)  # of users of another fold it knows nothing at all
    known, given = known.select(there), queries.histories.select(there)
    same = np.array_equal(known.offsets, given.offsets) and np.array_equal(known.item, given.item)
    if not same or not np.array_equal(known.occurred_at, given.occurred_at):
        raise BadInputError(
            f"The events that {what} is asked after are not what its users are said to have done: they may hold the "
            "answers.",
            hint="Make histories and graph from one snapshot.",
            reason="LEAK",
        )


def chosen_again(n: int) -> Int64s:
    """Which of n queries are asked a second time, in an order unlike the first."""
    return np.random.default_rng(0).permutation(n)[:ASKED_AGAIN]


def require_same_again(
    answer: Callable[[Histories, Int64s], Float32s], queries: Queries, rows: Int64s, before: Float32s, name: str
) -> None:
    """BadInputError unless the ranker scores the queries `rows` as it did `before` [n, V].

    In another order and company, so that who has the answers in the order of the queries, or counts its calls, is found
    out; labels are not within its reach, and cannot be part of what it answers.
    """
    again = np.asarray(answer(queries.histories.select(rows), queries.now_us[rows]), np.float32)
    tolerance = 1e-4 * float(np.ptp(before)) if before.size else 0.0
    alike = np.isclose(before, again, rtol=1e-3, atol=tolerance) if again.shape == before.shape else np.zeros(1)
    if before.size and alike.mean() < ALIKE:
        raise BadInputError(
            f"Ranker {name!r} answers the same question otherwise when it is asked again: {alike.mean():.0%} of its "
            "scores are alike.",
            hint="Scores must follow from the histories alone, not from chance or from the order of the questions.",
            reason="ANSWERS_DIFFER",
        )
