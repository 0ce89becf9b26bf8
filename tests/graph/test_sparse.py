import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.sparse import Csr, keep_strongest
from graph.storage.errors import BadInputError


@given(st.lists(st.lists(st.integers(0, 4), min_size=7, max_size=7), max_size=6), st.integers(1, 8))
def test_keeps_the_strongest_of_each_row_and_of_equals_the_first(rows: list[list[int]], n: int) -> None:
    dense = np.array(rows, np.float32).reshape(-1, 7)
    expected = np.zeros_like(dense)
    for row, values in enumerate(dense):
        for column in sorted(range(7), key=lambda column: (-values[column], column))[:n]:
            expected[row, column] = values[column]
    kept = keep_strongest(Csr(dense), n)
    assert np.array_equal(kept.toarray(), expected)
    assert (kept.data > 0).all()
    assert kept.has_sorted_indices


def test_columns_need_not_be_sorted() -> None:
    matrix = Csr((np.array([1, 1, 2], np.float32), [2, 0, 1], [0, 3]), shape=(1, 3))
    assert keep_strongest(matrix, 2).toarray().tolist() == [[1, 2, 0]]


@pytest.mark.parametrize("weight", [-1.0, np.nan])
def test_what_has_no_order_is_refused(weight: float) -> None:
    with pytest.raises(BadInputError, match="negative or undefined"):
        keep_strongest(Csr(np.array([[weight, 1]], np.float32)), 1)
    with pytest.raises(BadInputError, match="strongest 0"):
        keep_strongest(Csr(np.ones((1, 1), np.float32)), 0)
