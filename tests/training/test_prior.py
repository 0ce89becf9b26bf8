"""How likely items are beforehand: by their events, to a power, and new ones as the catalog's pace says."""

import numpy as np
import pytest

from training.prior import log_prior


def test_items_are_as_likely_as_they_have_events() -> None:
    prior = log_prior(np.array([1, 4, 7, 0]), power=1.0, novelty=0.5)
    assert prior is not None
    assert prior.dtype == np.float32
    np.testing.assert_allclose(np.exp(prior), [1 / 4, 1, 7 / 4, 0.5], rtol=1e-6)


def test_the_power_levels_them() -> None:
    half, none = (log_prior(np.array([1, 4, 7, 0]), power=power, novelty=0.5) for power in (0.5, 0.0))
    assert half is not None
    assert none is not None
    np.testing.assert_allclose(np.exp(half), [0.5, 1, np.sqrt(7 / 4), 0.5], rtol=1e-6)
    np.testing.assert_allclose(np.exp(none), [1, 1, 1, 0.5], rtol=1e-6)


@pytest.mark.parametrize(("events", "power", "novelty"), [([1, 4], 0.0, 1.0), ([0, 0], 1.0, 0.5), ([], 1.0, 1.0)])
def test_there_is_none_where_nothing_tells_items_apart(events: list[int], power: float, novelty: float) -> None:
    assert log_prior(np.array(events, np.int64), power, novelty) is None
