"""How many interests a user has, and how much each weighs: by what the user did, not by how many vectors a net makes.

An interest weighs as much as the share of the newest events that it explains better than the others. One that explains
too little is dropped, one that points where a stronger one points is merged into it; their rows are 0. A user without
events has none. What the net expects next is not changed by it: there the best of all vectors counts (model.py).
"""

import numpy as np

from graph.arrays import Float32s
from graph.histories import Histories

EVENTS = 50
"""Newest events of a user that are looked at."""
LEAST = 0.1
"""Smallest share of them that makes an interest."""
SAME = 0.95
"""Cosine above which two vectors are one interest."""


def supported(users: Float32s, items: Float32s, histories: Histories) -> tuple[Float32s, Float32s]:
    """The vectors [B, K, dim], 0 where there is no such interest, and their weights [B, K], summing to 1 or 0.

    users: [B, K, dim] of unit length; items: [V, dim]; histories: the B users'.
    """
    n_users, n_interests = users.shape[:2]
    if n_interests == 1:
        weights = (histories.lengths > 0).astype(np.float32)[:, None]
        return users * weights[:, :, None], weights
    recent = histories.last(EVENTS)
    row = recent.row_of
    best = np.zeros(len(row), np.int64)
    for begin in range(0, len(row), 100_000):  # [n, K, dim] for so many events at a time
        part = slice(begin, begin + 100_000)
        best[part] = np.einsum("nkd,nd->nk", users[row[part]], items[recent.item[part]]).argmax(axis=1)
    count = np.bincount(row * n_interests + best, minlength=n_users * n_interests).reshape(n_users, n_interests)
    share = count / np.maximum(count.sum(axis=1, keepdims=True), 1)
    cosine = np.einsum("bkd,bjd->bkj", users, users)
    for strong in range(n_interests):
        for weak in range(n_interests):
            stronger = (share[:, strong] > share[:, weak]) | ((share[:, strong] == share[:, weak]) & (strong < weak))
            merged = stronger & (cosine[:, strong, weak] > SAME) & (share[:, strong] > 0)
            share[merged, strong] += share[merged, weak]
            share[merged, weak] = 0
    share[share < np.minimum(LEAST, share.max(axis=1, keepdims=True))] = 0
    weights = (share / np.maximum(share.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)
    return users * (weights > 0)[:, :, None], weights
