"""A ranker for tests."""

import numpy as np

from training.mixture import Mixture, ranker_features
from training.ranker import Ranker


def random_ranker(mixture: Mixture) -> Ranker:
    """One that was never fitted, and turns everything upside down."""
    random = np.random.default_rng(3)
    names = ranker_features(mixture.sources)
    layers = [(8, len(names)), (8, 8), (1, 8)]
    arrays = tuple(
        (
            (random.normal(size=shape) / np.sqrt(shape[1])).astype(np.float32),
            random.normal(size=shape[0]).astype(np.float32),
        )
        for shape in layers
    )
    return Ranker(names, np.zeros(len(names), np.float32), np.ones(len(names), np.float32), arrays)
