"""Item-item memories against their definitions, counted by hand or by plain loops."""

import numpy as np
import pytest
from numpy.typing import NDArray

from graph.histories import Histories, histories_from_arrays
from graph.memories.co_occurrence import co_occurrence
from graph.memories.ease import ease
from graph.memories.incidence import steps_of
from graph.memories.sparse import pruned_product, rows_to_distributions, strongest
from graph.memories.transitions import transitions
from graph.storage.errors import BadInputError


def history(*users: list[list[int]], n_items: int) -> Histories:
    """Users as lists of steps, a step as a list of the items of one instant."""
    rows = [(u, item, when) for u, steps in enumerate(users) for when, step in enumerate(steps) for item in step]
    user, item, when = np.array(rows).T
    return histories_from_arrays(user, item, when, n_users=len(users), n_items=n_items)


def test_a_transition_weighs_one_over_the_steps_between() -> None:
    memory = transitions(history([[0], [1], [2]], n_items=4), damping=0).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1], expected[0, 2], expected[1, 2] = 1, 0.5, 1
    np.testing.assert_allclose(memory, expected)


def test_items_of_one_instant_are_at_distance_one_in_either_direction() -> None:
    memory = transitions(history([[0, 1], [2]], n_items=3), damping=0).toarray()
    np.testing.assert_allclose(memory, [[0, 1, 1], [1, 0, 1], [0, 0, 0]])


def test_both_directions_is_the_sum_with_the_way_back() -> None:
    shop = history([[0], [1], [2]], [[2], [0, 3]], n_items=4)
    forward = transitions(shop, damping=0).toarray()
    same_step = np.zeros((4, 4))
    same_step[0, 3] = same_step[3, 0] = 1
    both = transitions(shop, both_directions=True, damping=0).toarray()
    np.testing.assert_allclose(both, forward + forward.T - same_step)


def test_transitions_end_at_the_distance_and_at_the_user() -> None:
    memory = transitions(history([[0], [1], [2], [3]], [[4]], n_items=5), max_distance=2, damping=0).toarray()
    assert memory[0, 2] == 0.5
    assert memory[0, 3] == 0
    assert memory[3, 4] == 0


def test_a_repeat_is_no_transition_to_itself() -> None:
    assert np.diag(transitions(history([[0], [0], [1]], n_items=2)).toarray()).tolist() == [0, 0]


def test_transitions_equal_a_plain_count() -> None:
    random = np.random.default_rng(1)
    user, item, when = random.integers(0, 20, 300), random.integers(0, 15, 300), random.integers(0, 12, 300)
    shop = histories_from_arrays(user, item, when, n_users=20, n_items=15)
    expected = np.zeros((15, 15))
    for u in range(20):
        mine = shop.select([u])
        sets = [set(mine.item[mine.step == s].tolist()) for s in np.unique(mine.step)]
        for a, first in enumerate(sets):
            for b in range(a, min(a + 9, len(sets))):
                for i in first:
                    for j in sets[b] - {i}:
                        expected[i, j] += 1 / max(b - a, 1)
    np.testing.assert_allclose(transitions(shop, damping=0).toarray(), expected, rtol=1e-5)


def test_damping_divides_by_a_power_of_the_row() -> None:
    shop = history([[0], [1], [2]], [[0], [1]], n_items=3)
    raw, half, whole = (transitions(shop, damping=power).toarray() for power in (0, 0.5, 1))
    np.testing.assert_allclose(half[0], raw[0] / np.sqrt(raw[0].sum()), rtol=1e-6)
    np.testing.assert_allclose(whole[0].sum(), 1, rtol=1e-6)


def test_only_the_newest_events_of_a_user_count() -> None:
    memory = transitions(history([[0], [1], [2]], n_items=3), max_history=2, damping=0).toarray()
    assert memory[0].sum() == 0
    assert memory[1, 2] == 1


def test_a_large_set_is_thinned_evenly() -> None:
    steps = steps_of(history([list(range(100))], n_items=100), max_set=10)
    kept = steps.items.indices
    assert len(kept) == 10
    assert np.ptp(np.diff(np.sort(kept))) <= 1


def test_co_occurrence_is_the_cosine_of_the_users() -> None:
    memory = co_occurrence(history([[0], [1]], [[0], [1], [2]], [[2], [2]], n_items=4)).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 1
    expected[0, 2] = expected[2, 0] = expected[1, 2] = expected[2, 1] = 1 / np.sqrt(2 * 2)
    np.testing.assert_allclose(memory, expected, rtol=1e-6)


def _ease_by_definition(X: NDArray[np.float64], l2: float) -> NDArray[np.float64]:
    P = np.linalg.inv(X.T @ X + l2 * np.eye(X.shape[1]))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    return np.maximum(B, 0)


@pytest.mark.parametrize(("users", "items"), [(60, 12), (12, 60)], ids=["by items", "by users"])
def test_ease_is_its_closed_form_either_way(users: int, items: int) -> None:
    random = np.random.default_rng(2)
    X = (random.random((users, items)) < 0.3).astype(float)
    user, item = np.nonzero(X)
    shop = histories_from_arrays(user, item, np.zeros(len(user)), n_users=users, n_items=items)
    memory = ease(shop, l2=5.0, min_users=1).toarray()
    np.testing.assert_allclose(memory, _ease_by_definition(X, 5.0), atol=1e-5)


def test_ease_leaves_out_items_with_too_few_users_and_beyond_the_most_owned() -> None:
    shop = history([[0], [1]], [[0], [1]], [[0], [2]], [[3]], [[3], [1]], n_items=4)
    assert ease(shop, l2=1.0, min_users=2).toarray()[2].sum() == 0
    rows, columns = ease(shop, l2=1.0, min_users=1, max_items=2).nonzero()
    assert set(rows) | set(columns) <= {0, 1}


def test_ease_without_items_is_empty() -> None:
    assert ease(history([[0]], n_items=2), min_users=5).nnz == 0


def test_ease_that_cannot_be_inverted_says_so() -> None:
    with pytest.raises(BadInputError, match="λ"):
        ease(history([[0], [1]], [[0], [1]], [[0], [1]], n_items=2), l2=-10.0, min_users=1)


def test_pruning_keeps_the_strongest_of_each_row() -> None:
    random = np.random.default_rng(3)
    left, right = random.random((7, 5)).astype(np.float32), random.random((5, 7)).astype(np.float32)
    from scipy.sparse import csr_array

    product = left @ right
    np.fill_diagonal(product, 0)
    pruned = pruned_product(csr_array(left), csr_array(right), keep=3).toarray()
    for row, whole in zip(pruned, product, strict=True):
        best = np.sort(np.argsort(-whole)[:3])
        assert np.flatnonzero(row).tolist() == best.tolist()
        np.testing.assert_allclose(row[best], whole[best], rtol=1e-5)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    shop = histories_from_arrays(random.integers(0, 30, 400), random.integers(0, 40, 400), random.integers(0, 9, 400))
    whole = transitions(shop, keep=5).toarray()
    monkeypatch.setattr("graph.sparse.BLOCK_PRODUCTS", 50)
    np.testing.assert_array_equal(transitions(shop, keep=5).toarray(), whole)


def test_negative_and_zero_entries_are_never_kept() -> None:
    from scipy.sparse import csr_array

    assert strongest(csr_array(np.array([[-1.0, 0.0, 2.0]])), 3).toarray().tolist() == [[0, 0, 2]]


def test_empty_rows_stay_empty() -> None:
    from scipy.sparse import csr_array

    rows = rows_to_distributions(csr_array(np.array([[1.0, 3.0], [0.0, 0.0]])))
    assert rows.toarray().tolist() == [[0.25, 0.75], [0, 0]]
