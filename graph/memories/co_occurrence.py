"""What goes together: users that two items share, as a cosine (item-kNN; Sarwar et al. 2001)."""

import numpy as np
from scipy.sparse import csr_array

from graph.histories import Histories
from graph.memories.incidence import users_by_items
from graph.memories.sparse import pruned_product

MAX_HISTORY = 500
"""Half of what transitions read: here every pair of a history counts, not the near ones alone."""


def co_occurrence(histories: Histories, *, max_history: int = MAX_HISTORY, keep: int = 1_000) -> csr_array:
    """users(i and j) / √(users(i) · users(j)), CSR `[items, items]` without diagonal.

    Counted over each user's newest `max_history` events; n distinct items of one user are n² pairs.
    """
    seen = users_by_items(histories.last(max_history))
    owners = np.asarray(seen.sum(axis=0), dtype=np.float64).ravel()
    scale = np.divide(1.0, np.sqrt(owners), out=np.zeros_like(owners), where=owners > 0).astype(np.float32)
    left = csr_array(seen.T)
    left.data *= np.repeat(scale, np.diff(left.indptr))
    return pruned_product(left, seen, keep=keep, scale=scale)
