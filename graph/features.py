"""Numbers of the catalog (a price, a weight) as features of items, on a scale learned from the training window alone.

    standard   (x - mean) / standard deviation          min_max   (x - min) / (max - min)

An item that lacks a number stands at the centre (0) and a second column says so (known 1, missing 0). A value is that
of the version that holds as of the snapshot.
"""

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import torch
from torch_geometric.data import HeteroData

from graph.arrays import Float32s, Float64s
from graph.catalog import Catalog
from graph.schema import ITEM
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError

Scaling = Literal["standard", "min_max"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
FARTHEST = 10.0
"""On its scale no value lies farther out: a price of 10^9 among prices of 10 must not drown everything else."""
_LARGEST = float(np.finfo(np.float32).max)
"""Larger numbers are mistakes: their squares overflow, and one of them would leave a feature without a scale."""
_READ: WeakKeyDictionary[Catalog, dict[tuple[str, ...], Float64s]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class Scaler:
    """For F features: float64 `[F]` each; a value x becomes (x - centre) / reach."""

    names: tuple[str, ...]
    centre: Float64s
    reach: Float64s

    def __call__(self, snapshot: Snapshot) -> Float32s:
        """float32 `[I, 2 F]`, finite: the scaled values, then whether each is known."""
        values = numbers(snapshot, self.names)
        known = np.isfinite(values)
        scaled = np.clip((np.where(known, values, self.centre) - self.centre) / self.reach, -FARTHEST, FARTHEST)
        return np.concatenate([scaled, known], axis=1).astype(np.float32)


def fit_scaler(window: Snapshot, names: tuple[str, ...], scaling: Scaling = "standard") -> Scaler:
    """The scale of the items that have events in `window`, as the catalog says of them as of its end.

    Raises BadInputError for an attribute that is a number of none of them.
    """
    active = np.bincount(window.events.item, minlength=len(window.items)) > 0
    values = numbers(window, names)[active]
    for name, column in zip(names, values.T, strict=True):
        if not np.isfinite(column).any():
            there = ", ".join(numeric_attributes(window)) or "none"
            raise BadInputError(
                f"No item of the training window has a number {name!r}.", hint=f"Attributes that are numbers: {there}."
            )
    if scaling == "standard":
        centre, reach = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
    else:
        centre = np.nanmin(values, axis=0)
        reach = np.nanmax(values, axis=0) - centre
    return Scaler(names, centre, np.where(reach > 0, reach, 1.0))


def add_features(graph: HeteroData, snapshot: Snapshot, scaler: Scaler) -> None:
    """Sets `graph["item"].x`, float32 `[I, 2 F]`."""
    graph[ITEM].x = torch.from_numpy(scaler(snapshot))


def numbers(snapshot: Snapshot, names: tuple[str, ...]) -> Float64s:
    """float64 `[I, F]`, read-only: attributes as numbers, NaN where an item has none. Text that is a number counts.

    A catalog is read once: what a scale is learned from is nearly always what is then scaled.
    """
    read = _READ.setdefault(snapshot.catalog, {})
    if names not in read:
        coded = snapshot.item_attributes.dictionary_encode()
        rows = [[_number(attributes.get(name)) for name in names] for attributes in _objects(coded.dictionary)]
        values = np.array(rows, np.float64).reshape(len(rows), len(names))[np.asarray(coded.indices)]
        values.flags.writeable = False
        read[names] = values
    return read[names]


def numeric_attributes(snapshot: Snapshot) -> list[str]:
    """Names of the attributes that are a number for some item, those of most items first."""
    found: Counter[str] = Counter()
    coded = snapshot.item_attributes.dictionary_encode()
    items = np.bincount(np.asarray(coded.indices), minlength=len(coded.dictionary))
    for attributes, n in zip(_objects(coded.dictionary), items.tolist(), strict=True):
        found.update({name: n for name, value in attributes.items() if math.isfinite(_number(value))})
    return [name for name, _ in found.most_common()]


def _objects(texts: pa.StringArray) -> Iterator[dict[str, Any]]:
    return (json.loads(text or "{}") for text in texts.to_pylist())


def _number(value: Any) -> float:
    """NaN for what is no number or beyond the range of float32, the net's; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if abs(number) <= _LARGEST else math.nan
