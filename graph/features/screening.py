"""Does a feature tell anything? If so, items that users take one after the other are more alike in it than chance.

Moran's I (1950) over pairs of items that follow each other, against the same pairs with the features' rows dealt out
anew among the items: a test that needs no model, so that noise never reaches one.
"""

import numpy as np

from graph.arrays import Bools, Float32s, Float64s, Int64s
from graph.features.encoder import FeatureEncoder
from graph.histories import histories_of
from graph.snapshot import Snapshot

SURE = 3.0
"""Standard deviations above chance: of a thousand columns of noise one gets through."""
DEALS = 30
MOST_PAIRS = 100_000
FEWEST_PAIRS = 30
"""With fewer nothing is said, and the feature stays."""


def screened(encoder: FeatureEncoder, window: Snapshot) -> FeatureEncoder | None:
    """With the features that tell something alone; None where none does."""
    if not encoder.names:
        return None
    kept = np.flatnonzero(telling(encoder, window)).tolist()
    if not kept:
        return None
    return FeatureEncoder(tuple(encoder.names[f] for f in kept), tuple(encoder.features[f] for f in kept))


def telling(encoder: FeatureEncoder, window: Snapshot) -> Bools:
    """bool [F]: which features to keep."""
    kept: Bools = likeness(encoder, window) > SURE
    return kept


def likeness(encoder: FeatureEncoder, window: Snapshot, seed: int = 0) -> Float64s:
    """float64 [F]: standard deviations by which neighbours in a history are more alike than chance; infinite where too
    few neighbours have the feature for a judgement."""
    random = np.random.default_rng(seed)
    x, pairs = encoder(window), _neighbours(window, random)
    width = sum(encoder.widths)
    blocks = np.split(x[:, :width], np.cumsum(encoder.widths)[:-1], axis=1)
    return np.array([_likeness(x[:, width + f] > 0, block, pairs, random) for f, block in enumerate(blocks)])


def _likeness(known: Bools, x: Float32s, pairs: Int64s, random: np.random.Generator) -> float:
    pairs = pairs[:, known[pairs].all(axis=0)]
    if pairs.shape[1] < FEWEST_PAIRS:
        return np.inf
    items, (one, other) = np.unique(pairs, return_inverse=True)
    one, other = one.reshape(-1), other.reshape(-1)
    x = x[items] - x[items].mean(axis=0)

    def alike(rows: Float32s) -> float:
        return float(np.einsum("pw,pw->", rows[one], rows[other]))

    chance = np.array([alike(x[random.permutation(len(x))]) for _ in range(DEALS)])
    return (alike(x) - float(chance.mean())) / max(float(chance.std()), 1e-12)


def _neighbours(window: Snapshot, random: np.random.Generator) -> Int64s:
    """int64 [2, P]: distinct pairs of items of which a user took one just after the other."""
    histories = histories_of(window)
    row, item = histories.row_of, histories.item.astype(np.int64)
    apart = (row[1:] == row[:-1]) & (item[1:] != item[:-1])
    low, high = np.minimum(item[1:], item[:-1])[apart], np.maximum(item[1:], item[:-1])[apart]
    key = np.unique(low * histories.n_items + high)
    if len(key) > MOST_PAIRS:
        key = random.choice(key, MOST_PAIRS, replace=False)
    return np.stack([key // histories.n_items, key % histories.n_items])
