"""The compiled loops by themselves, beside what numpy says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.fast.cells import cells_of
from training.fast.loops import kth_largest

floats = st.floats(-1e6, 1e6, width=32)


@settings(deadline=None)
@given(arrays(np.float32, st.integers(1, 60), elements=floats), st.integers(1, 70))
def test_the_kth_largest(values: np.ndarray, k: int) -> None:
    expected = np.sort(values)[::-1][min(k, len(values)) - 1]
    assert kth_largest(values, len(values), k, np.empty(len(values), np.float32)) == expected


def test_every_item_lies_in_one_cell_and_the_cells_shares_add_up() -> None:
    random = np.random.default_rng(0)
    centers = random.normal(size=(30, 16))
    vectors = (centers[random.integers(30, size=3_000)] + 0.3 * random.normal(size=(3_000, 16))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    prior = random.normal(size=3_000).astype(np.float32)
    cells = cells_of(vectors, prior, 12.0, few=100)
    assert sorted(cells.item.tolist()) == list(range(3_000))
    np.testing.assert_array_equal(cells.item[cells.place], np.arange(3_000))
    np.testing.assert_array_equal(cells.vectors[cells.place], vectors)
    assert cells.offsets[-1] == 3_000
    assert (np.diff(cells.offsets) > 0).all()
    users = vectors[:50]
    exact = np.log(np.exp(12.0 * users @ vectors.T + prior).sum(axis=1))
    estimated = cells.log_mass + cells.temperature * users @ cells.center.T
    assert np.abs(np.log(np.exp(estimated).sum(axis=1)) - exact).mean() < 0.3
