from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graph import follow_counts as module
from graph.followed_by import followed_by
from graph.snapshot import Snapshot

MakeSnapshot = Callable[..., Snapshot]
Rows = list[tuple[int, int, int, int, int]]

ROWS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 5), st.integers(0, 2), st.integers(0, 6), st.integers(-1, 1)),
    max_size=25,
)


def by_hand(rows: Rows, max_distance: int) -> dict[tuple[int, int], float]:
    """The definition, as loops: sets of items in order; every pair of sets at most max_distance apart."""
    weights: dict[tuple[int, int], float] = defaultdict(float)
    for user in range(3):
        steps: dict[tuple[int, int], set[int]] = defaultdict(set)
        for u, item, kind, day, sequence in rows:
            if u == user and kind != 2:  # 2 = dislike
                steps[day, sequence].add(item)
        baskets = [steps[moment] for moment in sorted(steps)]
        for place, basket in enumerate(baskets):
            for a in basket:
                for distance in range(max_distance + 1):
                    for b in baskets[place + distance] if place + distance < len(baskets) else ():
                        if a != b:
                            weights[a, b] += 1 / max(distance, 1)
    return weights


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, max_distance=st.integers(1, 4))
def test_equals_its_definition(make_snapshot: MakeSnapshot, rows: Rows, max_distance: int) -> None:
    matrix = followed_by(make_snapshot(rows), max_distance=max_distance, keep_neighbours=10).tocoo()
    found = dict(zip(zip(*(c.tolist() for c in matrix.coords), strict=True), matrix.data.tolist(), strict=True))
    assert found == pytest.approx(by_hand(rows, max_distance))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(rows=ROWS, products=st.integers(1, 6))
def test_blocks_of_rows_make_no_difference(make_snapshot: MakeSnapshot, rows: Rows, products: int) -> None:
    snapshot = make_snapshot(rows)
    whole = followed_by(snapshot, max_distance=3, keep_neighbours=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("graph.sparse.BLOCK_PRODUCTS", products)
        assert np.array_equal(followed_by(snapshot, max_distance=3, keep_neighbours=2).toarray(), whole.toarray())


def test_a_huge_basket_costs_no_more_than_its_cap(make_snapshot: MakeSnapshot) -> None:
    basket = [(0, item, 1, 5, -1) for item in range(500)]
    other = [(1, item, 1, 5, -1) for item in range(10)]
    matrix = followed_by(make_snapshot(basket + other, n_items=500), max_distance=8, keep_neighbours=500)
    cap = module.MAX_STEP_ITEMS
    assert (np.diff(matrix.indptr) > 9).sum() >= cap - 10
    assert cap * (cap - 1) <= matrix.nnz <= cap * (cap - 1) + 10 * 9
    assert (matrix[:10, :10].toarray() + np.eye(10) >= 1).all()  # the small basket is whole
    again = followed_by(make_snapshot(basket + other, n_items=500), max_distance=8, keep_neighbours=500)
    assert np.array_equal(again.indices, matrix.indices)


def test_direction_and_sets(make_snapshot: MakeSnapshot) -> None:
    matrix = followed_by(
        make_snapshot([(0, 0, 1, 1, -1), (0, 1, 1, 1, -1), (0, 2, 1, 2, -1), (0, 3, 1, 9, -1)]),
        max_distance=8,
        keep_neighbours=50,
    ).toarray()
    assert matrix[0, 1] == matrix[1, 0] == 1  # one instant: a set
    assert matrix[0, 2] == 1
    assert matrix[0, 3] == 0.5  # steps apart, whatever the days
    assert matrix[2, 0] == matrix[3, 2] == 0
