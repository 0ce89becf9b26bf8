import numpy as np
import pyarrow as pa
import pytest

from graph.ids import IdMap
from graph.storage.errors import BadInputError


@pytest.mark.parametrize("n", [3, 5_000])
def test_index_of_is_the_inverse_of_externals_of(n: int) -> None:
    ids = IdMap.of(f"id-{index}" for index in range(n))
    index = np.random.default_rng(0).permutation(n)
    names = ids.externals_of(index)
    for form in (names, pa.array(names), np.array(names)):
        found = ids.index_of(form)
        assert found.dtype == np.int32
        assert (found == index).all()


@pytest.mark.parametrize("n", [1, 1_000])
def test_unknown_ids_are_minus_one(n: int) -> None:
    ids = IdMap.of(["a", ""])
    assert (ids.index_of(["b"] * n) == -1).all()
    assert (ids.index_of([""] * n) == 1).all()
    assert (IdMap.of([]).index_of(["b"] * n) == -1).all()


def test_surrogates_have_gaps() -> None:
    ids = IdMap(pa.array(["a", "b"]), np.array([3, 9]))
    assert ids.index_of_surrogate(np.array([9, 3, 4, 0, 10])).tolist() == [1, 0, -1, -1, -1]
    assert IdMap.of([]).index_of_surrogate(np.array([1])).tolist() == [-1]


def test_a_broken_map_is_refused() -> None:
    with pytest.raises(BadInputError, match="ascending"):
        IdMap(pa.array(["a", "b"]), np.array([2, 2]))
    with pytest.raises(BadInputError, match="gaps"):
        IdMap(pa.array(["a", None]), np.array([1, 2]))
    with pytest.raises(BadInputError, match="2 external ids for 1"):
        IdMap(pa.array(["a", "b"]), np.array([1]))
