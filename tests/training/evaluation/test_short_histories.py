"""The same questions with less known."""

import numpy as np

from training.evaluation.protocols import Split
from training.evaluation.short_histories import known_for, newest


def test_the_newest_events_are_kept_and_the_questions_stay(split: Split) -> None:
    asked = known_for(split.test, 5)
    assert (asked.histories.lengths >= 5).all()
    short = newest(asked, 2)
    assert (short.histories.lengths == 2).all()
    assert (short.users == asked.users).all()
    assert (short.relevance != asked.relevance).nnz == 0
    for row in range(len(asked)):
        assert short.histories.select([row]).item.tolist() == asked.histories.select([row]).item[-2:].tolist()
    assert (newest(asked, 10_000).histories.item == asked.histories.item).all()


def test_users_with_less_are_not_asked(split: Split) -> None:
    longest = int(split.test.histories.lengths.max())
    assert len(known_for(split.test, longest)) == int((split.test.histories.lengths == longest).sum())
    assert np.all(known_for(split.test, longest).histories.lengths == longest)
