from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.snapshot import take_snapshot
from graph.storage.categories import upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.items import upsert_items
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


@st.composite
def forests(draw: st.DrawFn) -> np.ndarray:
    """int32 [C]: any forest, its categories in any order."""
    size = draw(st.integers(1, 12))
    parent = [draw(st.integers(-1, place - 1)) for place in range(size)]
    name = draw(st.permutations(range(size)))
    shuffled = np.empty(size, np.int32)
    for place, above in enumerate(parent):
        shuffled[name[place]] = -1 if above < 0 else name[above]
    return shuffled


@given(forests(), st.data())
def test_a_tree_agrees_with_its_definition(parent: np.ndarray, data: st.DataObject) -> None:
    tree, size = Taxonomy(parent), len(parent)
    graph = nx.DiGraph([(int(parent[child]), child) for child in range(size) if parent[child] >= 0])
    graph.add_nodes_from(range(size))
    weights = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=size, max_size=size)))
    for category in range(size):
        below = nx.descendants(graph, category)
        assert tree.descendants(category) == below
        assert set(tree.ancestors(category)) == nx.ancestors(graph, category)
        assert tree.depth[category] == len(tree.ancestors(category))
        assert tree.roll_up(weights)[category] == pytest.approx(weights[[category, *below]].sum(), abs=1e-9)
        assert tree.roll_up(np.ones(size, int))[category] == 1 + len(below)
    items = np.array(data.draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, size - 1)), max_size=9)), np.int32)
    links = items.reshape(-1, 2).T
    matrix = ancestors_matrix(links, parent, n_items=4).toarray()
    for item in range(4):
        own = set(links[1][links[0] == item].tolist())
        assert set(np.flatnonzero(matrix[item]).tolist()) == own.union(*(tree.ancestors(c) for c in own))


@given(forests(), st.data())
def test_hanging_a_category_below_its_own_subtree_is_a_cycle_and_nothing_else_is(
    parent: np.ndarray, data: st.DataObject
) -> None:
    moved = data.draw(st.integers(0, len(parent) - 1))
    onto = data.draw(st.integers(-1, len(parent) - 1))
    tree = Taxonomy(parent)
    below = tree.descendants(moved)
    new_parent = parent.copy()
    new_parent[moved] = onto
    if onto == moved or onto in below:
        with pytest.raises(BadInputError, match="form a cycle") as error:
            Taxonomy(new_parent)
        named = error.value.message.removeprefix("The categories form a cycle: ").removesuffix(".").split(" > ")
        assert named[0] == named[-1]
        on_cycle = {onto, *tree.ancestors(onto)} & {moved, *below}
        assert {int(name) for name in named} == on_cycle
        return
    after = Taxonomy(new_parent)
    assert after.descendants(moved) == below
    expected = [] if onto < 0 else [onto, *tree.ancestors(onto)]
    for category in below:
        assert after.ancestors(category) == [*_up_to(tree, category, moved), *expected]


def _up_to(tree: Taxonomy, category: int, top: int) -> list[int]:
    """The ancestors of `category` up to and with `top`, which is one of them."""
    above = tree.ancestors(category)
    return above[: above.index(top) + 1]


def test_a_category_moves_with_all_below_it_as_of_its_day(database: Database) -> None:
    """food > fruit > apples becomes garden > fruit > apples: counts and weights move from one top to the other."""
    rows: list[dict[str, Any]] = [
        {"category": "food"},
        {"category": "garden"},
        {"category": "fruit", "parent": "food"},
        {"category": "apples", "parent": "fruit"},
    ]
    upsert_categories(database, table_of(CATEGORIES, rows), recorded_at=10)
    moved = {"category": "fruit", "parent": "garden", "valid_from": 50}
    upsert_categories(database, table_of(CATEGORIES, [moved]), recorded_at=60)
    items: list[dict[str, Any]] = [
        {"item": "boskop", "categories": ["apples"]},
        {"item": "salt", "categories": ["food"]},
    ]
    upsert_items(database, table_of(ITEMS, items), recorded_at=10)
    events: list[dict[str, Any]] = [
        {"user": "u", "item": name, "kind": "purchase", "value": value, "occurred_at": 20}
        for name, value in (("boskop", 1.5), ("boskop", 2.0), ("salt", 4.0))
    ]
    append_events(database, table_of(EVENTS, events), source="s", recorded_at=30)
    for as_of, known_at, top in ((49, 100, "food"), (50, 100, "garden"), (100, 59, "food")):
        snapshot = take_snapshot(database, as_of=as_of, known_at=known_at)
        tree = Taxonomy.of(snapshot)
        names = dict(zip(tree.labels, range(len(tree)), strict=True))
        assert [tree.labels[above] for above in tree.ancestors(names["apples"])] == ["fruit", top]
        assert names["apples"] in tree.descendants(names[top])
        category = np.zeros(len(snapshot.items), np.int64)
        category[snapshot.item_category[0]] = snapshot.item_category[1]
        own = category[snapshot.events.item]
        counts = tree.roll_up(np.bincount(own, minlength=len(tree)))
        money = tree.roll_up(np.bincount(own, weights=snapshot.events.value, minlength=len(tree)))
        shown = [names[name] for name in ("food", "garden", "fruit", "apples")]
        assert counts[shown].tolist() == ([3, 0, 2, 2] if top == "food" else [1, 2, 2, 2])
        assert money[shown].tolist() == ([7.5, 0, 3.5, 3.5] if top == "food" else [4.0, 3.5, 3.5, 3.5])
