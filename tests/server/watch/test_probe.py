"""The probe tells a good index from a bad one."""

import numpy as np
import pytest
from numpy.typing import NDArray

from server.index import ExactIndex, make_index
from server.watch.probe import recall_of


def unit(n: int, dim: int = 16) -> NDArray[np.float32]:
    vectors = np.random.default_rng(3).standard_normal((n, dim)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


class Blind:
    """Finds the half of the rows that come first."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self._half = ExactIndex(vectors[: len(vectors) // 2])

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        return self._half.search(queries, k, allowed)


def test_an_exact_index_finds_all_and_one_of_cells_nearly_all() -> None:
    vectors = unit(3_000)
    assert recall_of(ExactIndex(vectors), vectors) == 1
    found = recall_of(make_index(vectors, exact_up_to=100), vectors)
    assert found is not None
    assert 0.9 < found <= 1


def test_an_index_that_sees_half_finds_half() -> None:
    vectors = unit(3_000)
    assert recall_of(Blind(vectors), vectors) == pytest.approx(0.5, abs=0.1)


def test_rows_that_tie_are_all_right() -> None:
    vectors = np.repeat(unit(1), 500, axis=0)
    assert recall_of(Blind(vectors), vectors) == 1


def test_where_there_is_little_all_of_it_is_asked_for() -> None:
    vectors = np.concatenate([unit(5), np.zeros((3, 16), np.float32)])
    assert recall_of(ExactIndex(vectors), vectors) == 1
    assert recall_of(ExactIndex(vectors[5:]), vectors[5:]) is None
