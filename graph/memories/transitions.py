"""What follows what: transitions between items of one history (sequential rules; Ludewig & Jannach 2018)."""

from typing import Any

import numpy as np
from scipy.sparse import csr_array, diags_array

from graph.histories import Histories
from graph.memories.incidence import MAX_HISTORY, MAX_SET, Steps, steps_of
from graph.memories.sparse import pruned_product


def transitions(
    histories: Histories,
    *,
    max_distance: int = 8,
    both_directions: bool = False,
    max_history: int = MAX_HISTORY,
    max_set: int = MAX_SET,
    keep: int = 1_000,
    damping: float = 0.5,
) -> csr_array:
    """Σ over users of 1/distance for item j coming `distance` steps after item i, CSR `[items, items]`.

    Items of one step are a set, each at distance 1 from the others, in either direction. With `both_directions` j
    before i counts as well. An item's transitions to itself are left out: repeats are a memory of their own.
    Each row is divided by (its sum)^damping: 0 leaves counts, with which frequent items drown the others of a
    history; 1 makes probabilities, with which an item seen once speaks as loudly as any.
    Computed as Aᵀ W A with A `[steps, items]` and W `[steps, steps]` the band of 1/distance within a user.
    """
    steps = steps_of(histories, max_history=max_history, max_set=max_set)
    near = _near_steps(steps, max_distance)
    if both_directions:
        near = near + near.T
    near = csr_array(near + diags_array(np.ones(len(steps.user), dtype=np.float32)))
    memory = pruned_product(csr_array(steps.items.T), csr_array(near @ steps.items), keep=keep)
    support = np.asarray(memory.sum(axis=1), dtype=np.float64).ravel()
    memory.data /= np.repeat(np.maximum(support, 1e-12) ** damping, np.diff(memory.indptr)).astype(np.float32)
    return memory


def _near_steps(steps: Steps, max_distance: int) -> Any:
    """1/distance from each step to the later ones of the same user, CSR `[steps, steps]`."""
    count = len(steps.user)
    sources, targets = [], []
    for ahead in range(1, min(max_distance, count - 1) + 1):
        source = np.arange(count - ahead)
        target = source + ahead
        near = steps.user[source] == steps.user[target]
        near &= steps.number[target] - steps.number[source] <= max_distance
        sources.append(source[near])
        targets.append(target[near])
    source = np.concatenate(sources or [np.empty(0, dtype=np.int64)])
    target = np.concatenate(targets or [np.empty(0, dtype=np.int64)])
    weight = (1.0 / (steps.number[target] - steps.number[source])).astype(np.float32)
    return csr_array((weight, (source, target)), shape=(count, count))
