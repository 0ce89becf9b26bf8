"""What a peer is given, and nothing else: events to learn from, and the histories of the users it is asked about.

And what it gives back: a file for each rule.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graph.arrays import Int32s
from graph.histories import histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from training.evaluation.answers import Answers
from training.evaluation.protocols import Split
from training.evaluation.queries import Queries, Seen


def write_question(path: Path, split: Split, learn_from: Snapshot, queries: Queries, seen: Sequence[Seen]) -> None:
    """One `.npz` of indices, which numpy alone can read: U users, V items, N events, Q users asked about.

    user, item, occurred_at   [N] sorted by user and time, microseconds: what may be learned from
    valid_user, _item, _at    the next event of each user, to choose when to stop by; empty for a window of events
    users, asked_at           [Q] who is asked about, ascending, and the moment of the question
    offsets, history, _at     [Q + 1], […]: what each of them had done before, and when
    category                  [2, m] item, category
    candidates                bool [V]
    rules                     include, exclude or both: whether items of a user's history are candidates
    """
    events = histories_of(learn_from)
    validation = split.validation
    if split.protocol != "leave-one-out":
        validation = validation.select(np.zeros(len(validation), np.bool_))
    row = np.repeat(np.arange(len(validation)), np.diff(validation.relevance.indptr))
    np.savez(
        path,
        n_users=len(events),
        n_items=events.n_items,
        user=events.row_of,
        item=events.item,
        occurred_at=events.occurred_at,
        valid_user=validation.users[row],
        valid_item=validation.relevance.indices.astype(np.int32),
        valid_at=validation.now_us[row],
        users=queries.users,
        asked_at=queries.now_us,
        offsets=queries.histories.offsets,
        history=queries.histories.item,
        history_at=queries.histories.occurred_at,
        category=learn_from.item_category,
        candidates=queries.catalog,
        rules=np.array(seen),
    )


def read_answers(name: str, folder: Path, seen: Seen, users: Int32s, n_items: int) -> Answers:
    """What a peer answered under a rule. Raises BadInputError unless it is about exactly the users it was asked for."""
    answers = Answers.read(name, folder / f"{seen}.npz", n_items)
    if not np.array_equal(answers.users, users):
        raise BadInputError(
            f"{name!r} answered for {len(answers.users):,} users that are not the {len(users):,} it was asked for.",
            hint="Run the peer again.",
        )
    return answers
