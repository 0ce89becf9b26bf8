"""What is recalled for a user: own items, what is popular, and what item memories say after a history."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from graph.histories import histories_from_arrays
from graph.memories.own_frequency import own_frequency
from graph.memories.popularity import popularity
from graph.memories.recall import history_weights, recall
from graph.storage.times import DAY_US


def test_own_items_fade_by_half_and_sum_to_one() -> None:
    shop = histories_from_arrays([0, 0, 0], [1, 2, 2], [0, 10 * DAY_US, 10 * DAY_US], n_users=2, n_items=3)
    own = own_frequency(shop, np.full(2, 10 * DAY_US), half_life_days=10).toarray()
    np.testing.assert_allclose(own, np.array([[0.0, 0.2, 0.8], [0.0, 0.0, 0.0]]), rtol=1e-6)


def test_own_items_of_long_ago_do_not_underflow() -> None:
    shop = histories_from_arrays([0, 0], [0, 1], [0, DAY_US], n_items=2)
    own = own_frequency(shop, np.array([10_000 * DAY_US]), half_life_days=1).toarray()
    np.testing.assert_allclose(own, [[1 / 3, 2 / 3]], rtol=1e-6)


def test_popularity_counts_the_window_closed_left_and_open_right() -> None:
    shop = histories_from_arrays([0, 0, 0, 0], [0, 1, 2, 3], [0, 1 * DAY_US, 2 * DAY_US, 3 * DAY_US], n_items=5)
    assert popularity(shop, now_us=3 * DAY_US, window_days=2).tolist() == [0, 0.5, 0.5, 0, 0]


def test_popularity_fades() -> None:
    shop = histories_from_arrays([0, 1], [0, 1], [0, DAY_US])
    share = popularity(shop, now_us=2 * DAY_US, half_life_days=1)
    np.testing.assert_allclose(share, [1 / 3, 2 / 3], rtol=1e-6)


def test_popularity_of_nothing_is_zero() -> None:
    assert popularity(histories_from_arrays([0], [0], [9]), now_us=5).tolist() == [0]


def test_history_weights_count_back_from_the_newest_step() -> None:
    shop = histories_from_arrays([0, 0, 0, 1], [0, 1, 2, 3], [1, 2, 2, 7], n_users=3, n_items=4)
    weights = history_weights(shop, decay=0.5).toarray()
    assert weights.tolist() == [[0.5, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_an_item_met_again_counts_once_at_its_newest() -> None:
    shop = histories_from_arrays([0, 0, 0], [0, 1, 0], [1, 2, 3], n_items=2)
    assert history_weights(shop, decay=0.5).toarray().tolist() == [[1, 0.5]]
    assert history_weights(shop, decay=1.0).toarray().tolist() == [[1, 1]]


@pytest.mark.parametrize("decay", [0.6, 1.0])
def test_recall_adds_the_rows_of_a_history(decay: float) -> None:
    memory = csr_array(np.array([[0, 1, 3], [0, 0, 2], [0, 0, 0]], dtype=np.float32))
    shop = histories_from_arrays([0, 0, 1], [0, 1, 2], [1, 2, 1], n_users=2, n_items=3)
    expected = decay * np.array([0, 1, 3]) + np.array([0, 0, 2])
    recalled = recall(memory, shop, decay=decay).toarray()
    np.testing.assert_allclose(recalled[0], expected / expected.sum(), rtol=1e-6)
    assert recalled[1].sum() == 0  # no support: it says nothing
