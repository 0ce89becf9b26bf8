import numpy as np
import pytest
from numpy.typing import NDArray

from server.index import CellIndex, ExactIndex, make_index
from training.fast.cells import cells_of


def unit(n: int, dim: int, seed: int = 0) -> NDArray[np.float32]:
    """Clustered unit vectors, as learned ones are: uniform ones have no near neighbours to find."""
    centers = np.random.default_rng(0).normal(size=(50, dim))
    rng = np.random.default_rng(seed)
    vectors = centers[rng.integers(50, size=n)] + 0.6 * rng.normal(size=(n, dim))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def test_exact_finds_the_largest_cosines_in_order() -> None:
    vectors = unit(500, 16)
    rows, cosines = ExactIndex(vectors).search(vectors[:3], 20)
    expected = np.sort(vectors[:3] @ vectors.T, axis=1)[:, ::-1][:, :20]
    np.testing.assert_allclose(cosines, expected, rtol=1e-6)
    assert rows[:, 0].tolist() == [0, 1, 2]


def in_cells(vectors: NDArray[np.float32]) -> CellIndex:
    return CellIndex(vectors, cells_of(vectors, None, 1.0, few=10))


@pytest.mark.parametrize("share_allowed", [1.0, 0.5, 0.02])
def test_cells_recall_what_exact_search_finds(share_allowed: float) -> None:
    vectors = unit(8_000, 32)
    allowed = np.random.default_rng(1).random(len(vectors)) < share_allowed
    queries = unit(64, 32, seed=2)
    found, _ = in_cells(vectors).search(queries, 100, allowed)
    exact, _ = ExactIndex(vectors).search(queries, 100, allowed)
    assert allowed[found].all()
    recall = np.mean([len(set(a) & set(b)) / 100 for a, b in zip(found.tolist(), exact.tolist(), strict=True)])
    assert recall >= 0.98


def test_fewer_allowed_than_asked_for_all_come_back() -> None:
    vectors = unit(2_000, 8)
    allowed = np.zeros(len(vectors), bool)
    allowed[[5, 7, 11]] = True
    for index in (ExactIndex(vectors), in_cells(vectors)):
        rows, _ = index.search(vectors[:1], 10, allowed)
        assert sorted(rows[0].tolist()) == [5, 7, 11]


def test_what_is_allowed_far_away_is_found() -> None:
    """More cells are looked into until there are enough."""
    vectors = unit(4_000, 16)
    order = np.argsort(vectors @ vectors[0])
    allowed = np.zeros(len(vectors), bool)
    allowed[order[:1_000]] = True  # the farthest quarter
    rows, cosines = in_cells(vectors).search(vectors[:1], 50, allowed)
    assert allowed[rows].all()
    assert len(set(rows[0].tolist())) == 50
    assert (np.diff(cosines[0]) <= 0).all()


def test_nothing_allowed_is_an_empty_answer() -> None:
    vectors = unit(100, 8)
    rows, cosines = ExactIndex(vectors).search(vectors[:2], 10, np.zeros(100, bool))
    assert rows.shape == cosines.shape == (2, 0)


def test_a_zero_vector_is_never_found() -> None:
    vectors = unit(300, 8)
    vectors[4] = 0
    for index in (ExactIndex(vectors), in_cells(vectors)):
        rows, _ = index.search(-vectors[:1], 300)
        assert 4 not in rows[0].tolist()


def test_small_catalogs_are_searched_exactly() -> None:
    assert isinstance(make_index(unit(100, 8)), ExactIndex)
    assert isinstance(make_index(unit(101, 8), exact_up_to=100), CellIndex)
