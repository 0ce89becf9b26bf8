"""Seeded chance: a stream of its own for every purpose and block; what is drawn elsewhere changes nothing."""

import numpy as np

from graph.arrays import Float64s, Int64s

CATALOG, SEGMENTS, PEOPLE, BURSTS, VISITS, DIRT = range(6)
"""Purposes. A new one goes to the end: the shops of all seeds would change otherwise."""


def stream(seed: int, purpose: int, block: int = 0) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(purpose, block)))


def zipf(size: Int64s, u: Float64s) -> Int64s:
    """int64 [n]: a rank in 0 … size - 1, p(rank) ∝ log(1 + 1/(rank + 1)), which is Zipf's law with exponent 1.

    `size` int64 [n] at least 1, `u` float64 [n] in [0, 1). The closed form of the distribution: (size + 1)^u.
    """
    rank = np.exp(u * np.log1p(size)).astype(np.int64) - 1
    return np.minimum(rank, size - 1)
