"""What is said of any items, once all else about a user is known: a few rows of each memory are looked through."""

from typing import NamedTuple

import numpy as np

from graph.arrays import Bools, Float32s, Int32s, Int64s, UInt64s
from training.fast.compiled import compiled
from training.fast.loops import closest
from training.fast.tables import Tables


class Others(NamedTuple):
    """Of one user, looked at L times, what tells of items that are no candidates. As in `Looks` and `Seen`."""

    vectors: Float32s
    """[L, K, dim]"""
    log_z: Float32s
    weights: Float32s
    """[L, S]: what each source's own number is multiplied by"""
    spoken_offsets: tuple[Int64s, ...]
    spoken_item: tuple[Int32s, ...]
    spoken_weight: tuple[Float32s, ...]


@compiled
def say(
    t: Tables,
    others: Others,
    through: Bools,
    candidates: Int32s,
    share: Float32s,
    wanted: Int32s,
    position: Int32s,
    is_wanted: UInt64s,
    out: Float32s,
) -> None:
    """What each source adds to p of the items `wanted` [n] into `out` [n, S], which is 0 everywhere.

    share: [C, S] of the `candidates` [C]; through: [M], as in `Looks`; position: [V], anything; is_wanted: [V / 64], a
    bit an item, 0 everywhere before and after: most items are not asked for, and all bits lie in the nearest cache.
    """
    n_sources = out.shape[1]
    n_memories = n_sources - 2
    for j in range(len(wanted)):
        position[wanted[j]] = j  # of an item that is asked for twice the last
        is_wanted[wanted[j] >> 6] |= _bit(wanted[j])
    for c in range(len(candidates)):
        if is_wanted[candidates[c] >> 6] & _bit(candidates[c]):
            out[position[candidates[c]]] = share[c]
            is_wanted[candidates[c] >> 6] &= ~_bit(candidates[c])
    by_memory = np.zeros((n_memories, len(wanted)), np.float32)
    for row in range(len(others.log_z)):
        by_memory[:] = 0
        for m in range(n_memories):
            begin, end = others.spoken_offsets[m][row], others.spoken_offsets[m][row + 1]
            _read(
                others.spoken_item[m][begin:end],
                others.spoken_weight[m][begin:end],
                through[m],
                t.memory_indptr[m],
                t.memory_indices[m],
                t.memory_data[m],
                position,
                is_wanted,
                by_memory[m],
            )
        for j in range(len(wanted)):
            item = wanted[j]
            if position[item] != j or not is_wanted[item >> 6] & _bit(item):
                continue
            here = t.cell_place[item]
            logit = t.temperature * closest(others.vectors[row], t.vectors[here]) + t.prior[here]
            out[j, 0] += others.weights[row, 0] * np.exp(logit - others.log_z[row])
            for m in range(n_memories):
                boost = t.memory_boost[m][item] if through[m] and len(t.memory_boost[m]) else np.float32(1)
                out[j, m + 1] += others.weights[row, m + 1] * boost * by_memory[m, j]
            out[j, n_sources - 1] += others.weights[row, n_sources - 1] * t.popularity[item]
    for j in range(len(wanted)):
        out[j] = out[position[wanted[j]]]
        is_wanted[wanted[j] >> 6] &= ~_bit(wanted[j])


@compiled
def _bit(item: int) -> np.uint64:
    return np.uint64(1) << np.uint64(item & 63)


@compiled
def _read(
    items: Int32s,
    weights: Float32s,
    through: bool,
    indptr: Int64s,
    indices: Int32s,
    data: Float32s,
    position: Int32s,
    is_wanted: UInt64s,
    said: Float32s,
) -> None:
    """Adds to `said` [n] what a memory says of the items that are wanted."""
    for e in range(len(items)):
        item, weight = items[e], weights[e]
        if not through:
            if is_wanted[item >> 6] & _bit(item):
                said[position[item]] += weight
            continue
        for j in range(indptr[item], indptr[item + 1]):
            there = indices[j]
            if is_wanted[there >> 6] & _bit(there):
                said[position[there]] += weight * data[j]
