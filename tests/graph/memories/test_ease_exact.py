"""Exact scores of EASE are those of its definition, whether users or items are fewer."""

import numpy as np
import pytest

from graph.histories import histories_from_arrays
from graph.memories.ease import fit_inverse
from graph.memories.incidence import users_by_items


@pytest.mark.parametrize(("users", "items"), [(300, 60), (60, 300)])
def test_scores_are_those_of_the_definition(users: int, items: int) -> None:
    random = np.random.default_rng(0)
    histories = histories_from_arrays(
        random.integers(users, size=3_000),
        random.integers(items, size=3_000),
        np.arange(3_000),
        n_users=users,
        n_items=items,
    )
    inverse = fit_inverse(histories, l2=20.0, min_users=2, max_items=10_000)
    assert inverse is not None
    owned = users_by_items(histories)
    X = owned[:, inverse.items].toarray().astype(float)
    P = np.linalg.inv(X.T @ X + 20 * np.eye(X.shape[1]))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0)
    np.testing.assert_allclose(inverse.scores(owned), X @ B, atol=1e-5)
