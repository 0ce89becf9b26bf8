"""A revision's mixture as plain arrays, for compiled loops: what is mapped from files stays mapped."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from graph.arrays import Float32s, Float64s, Int32s, Int64s
from training.fast.cells import Cells
from training.fast.compiled import sealed
from training.memories import ItemToItem
from training.mixture import Mixture
from training.ranker_features import sales


class Tables(NamedTuple):
    """V items, M memories, S = M + 2 sources, G features of the gate, D of whose categories."""

    # the net: items in cells (`cells.py`)
    cell_item: Int32s
    cell_place: Int32s
    cell_offsets: Int64s
    vectors: Float32s
    prior: Float32s
    temperature: np.float32
    # memories from item to item; empty arrays for those that recall by themselves
    memory_indptr: tuple[NDArray[Any], ...]
    memory_indices: tuple[Int32s, ...]
    memory_data: tuple[Float32s, ...]
    memory_boost: tuple[Float32s, ...]
    popularity: Float32s
    by_popularity: Int32s
    """[V]: the most popular items first."""
    # the gate
    gate_mean: Float64s
    gate_scale: Float64s
    gate_weight: Float64s
    gate_bias: Float64s
    # what the ranker reads of items
    pace: Float32s
    """[V, 6]: `ranker_features.sales`"""
    category_indptr: Int64s
    category_indices: Int32s
    category_weight: Float32s
    category_norm: Float32s
    n_categories: int


def tables_of(mixture: Mixture, cells: Cells, now_us: int) -> Tables:
    """`now_us`: the moment as of which items' sales are counted."""
    through = [memory if isinstance(memory, ItemToItem) else None for memory in mixture.memories]
    gate, facts = mixture.gate, mixture.facts
    return Tables(
        cell_item=cells.item,
        cell_place=cells.place,
        cell_offsets=cells.offsets,
        vectors=cells.vectors,
        prior=cells.prior,
        temperature=cells.temperature,
        memory_indptr=tuple(_part(one, "indptr", np.int64) for one in through),
        memory_indices=tuple(_part(one, "indices", np.int32) for one in through),
        memory_data=tuple(_part(one, "data", np.float32) for one in through),
        memory_boost=tuple(_boost(one) for one in through),
        popularity=np.ascontiguousarray(mixture.popularity, np.float32),
        by_popularity=np.argsort(-mixture.popularity, kind="stable").astype(np.int32),
        gate_mean=gate.mean,
        gate_scale=gate.scale,
        gate_weight=gate.weight,
        gate_bias=gate.bias,
        pace=pace_at(mixture, now_us),
        category_indptr=facts.categories.indptr.astype(np.int64),
        category_indices=facts.categories.indices.astype(np.int32),
        category_weight=facts.categories.data.astype(np.float32),
        category_norm=facts.norm,
        n_categories=facts.categories.shape[1],
    )


def pace_at(mixture: Mixture, now_us: int) -> Float32s:
    """`Tables.pace` as of a moment."""
    pace = mixture.facts.pace
    items = np.arange(pace.n_items, dtype=np.int64)
    return sales(pace, items, np.full(pace.n_items, now_us, np.int64))


def _part(memory: ItemToItem | None, name: str, dtype: DTypeLike) -> NDArray[Any]:
    """All alike in what may be done with them: a compiled loop takes a tuple of one type alone."""
    array = np.zeros(1) if memory is None else np.asarray(getattr(memory.neighbours, name))
    return sealed(array.astype(dtype, copy=False))


def _boost(memory: ItemToItem | None) -> Float32s:
    if memory is None or not memory.trend_power:
        return sealed(np.zeros(0, np.float32))
    return sealed(memory.trend ** np.float32(memory.trend_power))
