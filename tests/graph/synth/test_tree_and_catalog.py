"""Trees and shelves of any size are sound."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.synth.catalog import make_catalog
from graph.synth.draws import zipf
from graph.synth.segments import n_roots
from graph.synth.tree import make_tree
from graph.taxonomy import Taxonomy


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(0, 400), st.integers(0, 300), st.integers(0, 9))
def test_every_tree_is_one_and_every_shelf_holds_something(
    n_segments: int, more_categories: int, more_items: int, seed: int
) -> None:
    n_categories = 2 * n_segments + more_categories
    roots = n_roots(n_segments, n_categories)
    draw = np.random.default_rng(seed)
    tree = make_tree(n_categories, roots, draw)
    taxonomy = Taxonomy(tree.parent)  # refuses cycles
    assert taxonomy.roots == list(range(roots))
    assert taxonomy.depth.max() <= 2
    for category in range(n_categories):
        assert tree.root[category] == [category, *taxonomy.ancestors(category)][-1]
    assert sorted(tree.leaves.tolist()) == [c for c in range(n_categories) if not taxonomy.children(c)]
    for root in range(roots):
        below = tree.leaves[tree.first_leaf[root] : tree.first_leaf[root + 1]]
        assert len(below)
        assert (tree.root[below] == root).all()

    catalog = make_catalog(tree, n_categories + more_items, draw)
    assert sorted(catalog.shelf.tolist()) == list(range(len(catalog.leaf)))
    assert (np.diff(catalog.first) > 0).all()
    assert (catalog.leaf[catalog.shelf] == np.repeat(np.arange(len(tree.leaves)), np.diff(catalog.first))).all()
    assert (catalog.second != tree.leaves[catalog.leaf]).all()
    leaf = draw.integers(0, len(tree.leaves), 50)
    assert (catalog.leaf[catalog.pick(leaf, draw.random(50))] == leaf).all()


def test_ranks_follow_zipf() -> None:
    n, size = 400_000, 50
    rank = zipf(np.full(n, size), np.random.default_rng(0).random(n))
    share = np.bincount(rank, minlength=size) / n
    expected = np.log1p(1 / np.arange(1, size + 1)) / np.log1p(size)
    np.testing.assert_allclose(share, expected, atol=5 * np.sqrt(0.2 / n))
    assert zipf(np.array([1, 7]), np.array([np.nextafter(1, 0)] * 2)).tolist() == [0, 6]
