"""How many interests a user has follows from what the user did."""

import numpy as np
import pytest

from graph.histories import histories_from_arrays
from training.interest_weights import supported

ITEMS = np.eye(4, dtype=np.float32)


def near(*axes: int, tilt: float = 0.0) -> np.ndarray:
    """[1, K, 4]: unit vectors towards the axes, a little turned."""
    vectors = np.stack([ITEMS[axis] + tilt * ITEMS[(axis + 1) % 4] for axis in axes])[None]
    unit: np.ndarray = (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.parametrize(
    ("axes", "items", "expected"),
    [
        ((0, 1, 2), [0, 0, 1, 1, 1], [0.4, 0.6, 0]),  # nothing speaks for the third
        ((0, 1, 2), [0] * 19 + [1], [1, 0, 0]),  # one of twenty is no interest
        ((0, 1, 2), [0, 1, 2, 2], [0.25, 0.25, 0.5]),
        ((0, 0, 1), [0, 0, 0, 1], [0.75, 0, 0.25]),  # twice the same is one
        ((0, 1, 2), [], [0, 0, 0]),
    ],
)
def test_weights_are_shares_of_what_was_done(axes: tuple[int, ...], items: list[int], expected: list[float]) -> None:
    history = histories_from_arrays([0] * len(items), items, np.arange(len(items)), n_users=1, n_items=4)
    users = near(*axes)
    vectors, weights = supported(users, ITEMS, history)
    np.testing.assert_allclose(weights, [expected], atol=1e-6)
    np.testing.assert_allclose(vectors, users * (np.array(expected) > 0)[None, :, None])


def test_users_do_not_mix_and_one_vector_is_one_interest() -> None:
    history = histories_from_arrays([0, 1, 1], [0, 1, 1], [1, 2, 3], n_users=3, n_items=4)
    _, weights = supported(np.repeat(near(0, 1), 3, axis=0), ITEMS, history)
    assert weights.tolist() == [[1, 0], [0, 1], [0, 0]]
    vectors, weights = supported(np.repeat(near(2), 3, axis=0), ITEMS, history)
    assert weights.tolist() == [[1], [1], [0]]
    assert not vectors[2].any()


def test_only_the_newest_events_are_looked_at() -> None:
    items = [0] * 100 + [1] * 50
    history = histories_from_arrays([0] * 150, items, np.arange(150), n_users=1, n_items=4)
    assert supported(near(0, 1), ITEMS, history)[1].tolist() == [[0, 1]]
