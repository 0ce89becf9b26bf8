"""What is known of stand-ins, lent to items that have no events: in the net's space, and in the memories' matrices."""

from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Float32s
from graph.features.encoder import FeatureEncoder
from graph.memories.pace import Pace
from graph.memories.sparse import pruned_product
from graph.snapshot import Snapshot
from graph.stand_ins import StandIns, stand_ins
from training.memories import ItemToItem, Memory

KEPT = 250
"""New items that a row of a memory names at most."""


def stand_ins_of(snapshot: Snapshot, pace: Pace, encoder: FeatureEncoder | None) -> StandIns | None:
    if encoder is None:
        return stand_ins(snapshot, pace, None, ())
    return stand_ins(snapshot, pace, encoder(snapshot), encoder.widths)


def lend_vectors(vectors: Float32s, lent: StandIns | None) -> Float32s:
    """[V, dim], unit length: a new item's own vector, made of its categories and features, and the mean of its
    stand-ins' count the same."""
    if lent is None:
        return vectors
    rows = np.flatnonzero(np.diff(lent.weights.indptr))
    shared = vectors.copy()
    shared[rows] = _unit(vectors[rows] + _unit(np.asarray(lent.weights[rows] @ vectors, np.float32)))
    return shared


def _unit(vectors: Float32s) -> Float32s:
    unit: Float32s = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return unit


def lend_memory(memory: Memory, lent: StandIns | None) -> Memory:
    """What leads to the stand-ins leads to the new item as well, less likely; what follows them follows it."""
    if lent is None or not isinstance(memory, ItemToItem):
        return memory
    keep = max(1, int(np.diff(memory.neighbours.indptr).max(initial=0)))
    led_to = pruned_product(memory.neighbours, csr_array(lent.weights.T), keep=KEPT, diagonal=True)
    led_to.data *= np.float32(lent.novelty)
    whole = csr_array(memory.neighbours + led_to)
    whole = csr_array(whole + pruned_product(lent.weights, whole, keep=keep))
    trend = memory.trend + np.asarray(lent.weights @ memory.trend, memory.trend.dtype)
    return replace(memory, neighbours=whole, trend=trend)
