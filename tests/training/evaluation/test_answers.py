"""Answers from elsewhere are judged as a ranker's would be, and broken ones are refused."""

from pathlib import Path

import numpy as np
import pytest

from graph.storage.errors import BadInputError
from training.evaluation.answers import Answers


def answers(items: list[list[int]], scores: list[list[float]], users: list[int] | None = None) -> Answers:
    named = np.array(users if users is not None else range(len(items)), np.int32)
    return Answers("peer", named, np.array(items, np.int32), np.array(scores, np.float32), n_items=5)


def test_the_order_of_a_list_is_the_order_of_its_scores_and_the_rest_is_level() -> None:
    dense = answers([[3, 1, 4]], [[9.0, 0.5, 7.0]]).scores_for(np.array([0], np.int32))
    assert np.argsort(-dense[0], kind="stable")[:3].tolist() == [3, 4, 1]
    assert dense[0, 0] == dense[0, 2] < dense[0, 1]


def test_equal_scores_stay_level() -> None:
    dense = answers([[3, 1, 4]], [[1.0, 1.0, 1.0]]).scores_for(np.array([0], np.int32))
    assert dense[0, 3] == dense[0, 1] == dense[0, 4] > dense[0, 0]


def test_negative_scores_stand_above_what_is_not_in_the_list() -> None:
    dense = answers([[3, -1, -1]], [[-9.0, np.nan, np.nan]]).scores_for(np.array([0], np.int32))
    assert dense[0, 3] > 0
    assert (np.delete(dense[0], 3) == 0).all()


def test_users_are_found_by_their_index() -> None:
    found = answers([[0], [1]], [[1.0], [1.0]], users=[4, 7])
    assert found.scores_for(np.array([7, 4, 7], np.int32)).argmax(axis=1).tolist() == [1, 0, 1]
    with pytest.raises(BadInputError, match="no answer for every user"):
        found.scores_for(np.array([5], np.int32))


@pytest.mark.parametrize(
    ("items", "scores", "users"),
    [
        ([[5]], [[1.0]], [0]),
        ([[-2]], [[1.0]], [0]),
        ([[0]], [[float("nan")]], [0]),
        ([[0]], [[1.0, 2.0]], [0]),
        ([[0], [1]], [[1.0], [1.0]], [1, 0]),
    ],
)
def test_what_is_no_answer_is_refused(items: list[list[int]], scores: list[list[float]], users: list[int]) -> None:
    with pytest.raises(BadInputError, match="'peer'"):
        answers(items, scores, users)


def test_a_file_that_holds_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.npz").write_bytes(b"rubbish")
    with pytest.raises(BadInputError, match="holds no answers"):
        Answers.read("peer", tmp_path / "answers.npz", 5)
