import numpy as np
import pytest

from graph.storage.errors import BadInputError
from graph.taxonomy import Taxonomy, ancestors_matrix, paths

#        food(0)          toys(4)
#        /     \
#   fruit(1)  dairy(2)
#      |
#   apples(3)
PARENT = np.array([-1, 0, 0, 1, -1], np.int32)


def test_depth_ancestors_descendants() -> None:
    tree = Taxonomy(PARENT)
    assert tree.depth.tolist() == [0, 1, 1, 2, 0]
    assert tree.roots == [0, 4]
    assert tree.ancestors(3) == [1, 0]
    assert tree.ancestors(4) == []
    assert tree.descendants(0) == {1, 2, 3}
    assert tree.children(0) == [1, 2]
    assert paths(tree, ["food", "fruit", "dairy", "apples", "toys"])[3] == "food > fruit > apples"


def test_roll_up_adds_all_that_is_below() -> None:
    assert Taxonomy(PARENT).roll_up([1, 10, 100, 1000, 5]).tolist() == [1111, 1010, 100, 1000, 5]


def test_a_cycle_is_refused_and_named() -> None:
    with pytest.raises(BadInputError) as error:
        Taxonomy(np.array([-1, 3, 1, 2], np.int32), ["root", "a", "b", "c"])
    message = error.value.message
    assert any(cycle in message for cycle in ("a > c > b > a", "c > b > a > c", "b > a > c > b"))
    assert "root" not in message
    with pytest.raises(BadInputError, match="own > own"):
        Taxonomy(np.array([0], np.int32), ["own"])
    with pytest.raises(BadInputError, match=r"\(8 more\)"):
        Taxonomy(np.roll(np.arange(20), 1))


def test_ancestors_matrix_includes_the_whole_path() -> None:
    links = np.array([[0, 0, 2], [3, 2, 4]], np.int32)  # item 0 in apples and dairy, item 2 in toys
    matrix = ancestors_matrix(links, PARENT, n_items=4)
    assert matrix.toarray().astype(int).tolist() == [[1, 1, 1, 1, 0], [0] * 5, [0, 0, 0, 0, 1], [0] * 5]
    assert matrix.nnz == 5
    assert ancestors_matrix(links, PARENT).shape == (3, 5)


def test_ancestors_matrix_of_nothing_and_of_a_chain() -> None:
    assert ancestors_matrix(np.zeros((2, 0), np.int32), np.zeros(0, np.int32), n_items=2).shape == (2, 0)
    chain = np.arange(-1, 9, dtype=np.int32)
    assert ancestors_matrix(np.array([[0], [9]], np.int32), chain).nnz == 10


def test_ancestors_matrix_refuses_a_cycle() -> None:
    with pytest.raises(BadInputError, match="cycle"):
        ancestors_matrix(np.array([[0], [0]], np.int32), np.array([1, 0], np.int32))
