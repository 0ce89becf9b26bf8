"""EASE as factors is EASE; what is on the rise."""

import numpy as np
from numpy.typing import NDArray

from graph.histories import Histories, histories_from_arrays
from graph.memories.ease_factors import ease_factors, interests, recall_ease
from graph.memories.trend import trend
from graph.storage.times import DAY_US

NOW = 100 * DAY_US


def shop(users: int = 12, items: int = 30) -> Histories:
    random = np.random.default_rng(1)
    n = users * 20
    return histories_from_arrays(
        random.integers(0, users, n), random.integers(0, items, n), random.integers(0, 100, n) * DAY_US,
        n_users=users, n_items=items,
    )  # fmt: skip


def by_definition(X: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    P = np.linalg.inv(X.T @ X + l2 * np.eye(X.shape[1]))
    scores = X @ (-P / np.diag(P))
    scores[X > 0] = 0
    scores = np.maximum(scores, 0)
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def test_factors_are_the_inverse() -> None:
    histories = shop()
    X = interests(histories, np.full(len(histories), NOW), 30 * DAY_US)
    ease = ease_factors(histories, NOW, 30 * DAY_US, l2=3.0, min_users=1)
    recalled = recall_ease(ease, X).toarray()
    np.testing.assert_allclose(recalled, by_definition(X.toarray().astype(float), 3.0), atol=1e-5)


def test_a_boost_multiplies_and_only_the_strongest_are_kept() -> None:
    histories = shop()
    X = interests(histories, np.full(len(histories), NOW), 30 * DAY_US)
    ease = ease_factors(histories, NOW, 30 * DAY_US, l2=3.0, min_users=1)
    boost = np.ones(30, np.float32)
    boost[7] = 3
    plain, boosted = recall_ease(ease, X).toarray(), recall_ease(ease, X, boost).toarray()
    expected = plain * boost
    np.testing.assert_allclose(boosted, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4, atol=1e-7)
    strongest = recall_ease(ease, X, keep=1).toarray()
    assert (strongest.argmax(axis=1) == plain.argmax(axis=1)).all()
    assert ((strongest > 0).sum(axis=1) == 1).all()


def test_items_of_too_few_users_and_later_events_take_no_part() -> None:
    histories = histories_from_arrays([0, 1, 0, 1], [0, 0, 1, 2], [1, 1, 2, 5], n_users=2, n_items=4)
    assert ease_factors(histories, 5, DAY_US, min_users=1).items.tolist() == [0, 1]
    assert ease_factors(histories, 6, DAY_US, min_users=2).items.tolist() == [0]


def test_nobody_and_nothing_recall_nothing() -> None:
    histories = shop()
    ease = ease_factors(histories, NOW, 30 * DAY_US)
    nobody = histories_from_arrays([], [], [], n_users=2, n_items=30)
    assert recall_ease(ease, interests(nobody, np.full(2, NOW), DAY_US)).nnz == 0
    assert recall_ease(ease, interests(nobody.select([]), np.zeros(0, np.int64), DAY_US)).shape == (0, 30)
    unowned = ease_factors(nobody, NOW, DAY_US)
    assert recall_ease(unowned, interests(histories, np.full(len(histories), NOW), DAY_US)).nnz == 0


def test_a_trend_counts_first_times_alone() -> None:
    """Item 0: an old holder comes back. Item 1: a new holder. Item 2: one at `now`, which is too late."""
    histories = histories_from_arrays([0, 0, 1, 1], [0, 0, 1, 2], [1, 8, 8, 10], n_users=2, n_items=3)
    np.testing.assert_allclose(trend(histories, 10, 5), [1 / 11, 2 / 11, 1 / 10], rtol=1e-6)
