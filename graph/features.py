"""Numbers of the catalog (a price, a weight) as features of items, on a scale learned from the training window alone.

    standard   (x - mean) / standard deviation          min_max   (x - min) / (max - min)

An item that lacks a number stands at the centre (0) and a second column says so (known 1, missing 0). A value is that
of the version that holds as of the snapshot.
"""

import json
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch_geometric.data import HeteroData

from graph.arrays import Float32s, Float64s
from graph.schema import ITEM
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError

Scaling = Literal["standard", "min_max"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
FARTHEST = 10.0
"""On its scale no value lies farther out: a price of 10^9 among prices of 10 must not drown everything else."""
_LARGEST = float(np.finfo(np.float32).max)
"""Larger numbers are mistakes: their squares overflow, and one of them would leave a feature without a scale."""


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
    """float64 `[I, F]`: attributes as numbers, NaN where an item has none. Text that is a number counts as one."""
    values = np.full((len(snapshot.items), len(names)), np.nan)
    for item, text in enumerate(snapshot.item_attributes.to_pylist()):
        if text:
            attributes = json.loads(text)
            values[item] = [_number(attributes.get(name)) for name in names]
    return values


def numeric_attributes(snapshot: Snapshot) -> list[str]:
    """Names of the attributes that are a number for some item, those of most items first."""
    found: Counter[str] = Counter()
    for text in snapshot.item_attributes.to_pylist():
        found.update(name for name, value in json.loads(text or "{}").items() if math.isfinite(_number(value)))
    return [name for name, _ in found.most_common()]


def _number(value: Any) -> float:
    """NaN for what is no number or beyond the range of float32, the net's; true and false are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if abs(number) <= _LARGEST else math.nan
