"""What a user is like over time: the mean of the vectors of the items that the user had, whatever the order.

The net's user vector says what comes next and turns with every event. Whom a user belongs with is steadier, and reads
better off all that the user had: on a made-up shop with six planted segments k-means finds them with a normalised
mutual information of 0.84 from profiles and of 0.57 from user vectors (docs/experiments.md).
"""

from collections.abc import Callable

import numpy as np
from scipy import sparse

from graph.arrays import Float32s, Int32s
from graph.histories import Histories
from graph.memories.incidence import users_by_items

EVENTS = 1_000
"""Newest events of a user that make the profile."""


def profiles(item_vectors: Float32s, histories: Histories) -> Float32s:
    """[B, dim] of unit length, 0 for a user without history. Each item counts once."""
    return directions_of(histories.last(EVENTS), lambda items: item_vectors[items])


def directions_of(histories: Histories, vectors_of: Callable[[Int32s], Float32s]) -> Float32s:
    """[B, dim] of unit length, 0 for an empty history: where the items of each history point together, each counting
    once. `vectors_of` gives the vectors [n, dim] of n items; it is asked for those that occur."""
    had = sparse.csr_array(users_by_items(histories))
    occurring, column = np.unique(had.indices, return_inverse=True)
    had = sparse.csr_array((had.data, column, had.indptr), shape=(had.shape[0], len(occurring)))
    total = np.asarray(had @ vectors_of(occurring), np.float32)
    profile: Float32s = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), np.float32(1e-12))
    return profile
