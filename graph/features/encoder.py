"""The features of items that a model reads: fitted on its training window, kept with it, used on every later catalog.

    name or name:kind -> values of the catalog -> number | label | text | vector -> columns [I, W], and which are known

Each feature's columns have a mean squared length of about 1; an item that lacks it stands at 0 and a column says so.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import HeteroData

from graph.arrays import Bools, Float32s
from graph.features.label import Label
from graph.features.number import Number, Scaling
from graph.features.text import Text
from graph.features.values import Kind, Values, described, kind_of, split_name, values_of
from graph.features.vector import Vector
from graph.schema import ITEM
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError


class Feature(Protocol):
    """One attribute's columns. `state` is arrays alone, so that it travels with the weights of a net."""

    kind: ClassVar[Kind]

    @property
    def width(self) -> int: ...
    def __call__(self, values: Values) -> tuple[Float32s, Bools]: ...
    def state(self) -> dict[str, NDArray[Any]]: ...


_OF_STATE: dict[str, Callable[[Mapping[str, Any]], Feature]] = {
    kind.kind: kind.of_state for kind in (Number, Label, Text, Vector)
}


@dataclass(frozen=True, eq=False)
class FeatureEncoder:
    """`names` of the attributes, and what each is read as."""

    names: tuple[str, ...]
    features: tuple[Feature, ...]

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(feature.width for feature in self.features)

    def __call__(self, snapshot: Snapshot) -> Float32s:
        """float32 [I, W + F], finite: the columns of each feature side by side, then whether each is known."""
        blocks = [
            feature(values) for feature, values in zip(self.features, values_of(snapshot, self.names), strict=True)
        ]
        known = [mask[:, None].astype(np.float32) for _, mask in blocks]
        return np.concatenate([*(x for x, _ in blocks), *known], axis=1, dtype=np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """By place, kind and part: `0-text-weight`."""
        return {
            f"{place}-{feature.kind}-{part}": array
            for place, feature in enumerate(self.features)
            for part, array in feature.state().items()
        }

    @classmethod
    def of_state(cls, names: Sequence[str], state: Mapping[str, Any]) -> Self:
        """Raises KeyError, ValueError where the state is not that of the names."""
        parts: list[dict[str, Any]] = [{} for _ in names]
        kinds = [""] * len(names)
        for key, array in state.items():
            place, kinds[int(place)], part = key.split("-")
            parts[int(place)][part] = array
        return cls(tuple(names), tuple(_OF_STATE[kind](part) for kind, part in zip(kinds, parts, strict=True)))


def fit_encoder(window: Snapshot, names: Sequence[str], scaling: Scaling = "standard") -> FeatureEncoder:
    """From the items that have events in `window`, as the catalog says of them as of its end.

    Raises BadInputError for an attribute that none of them has, and for what cannot be read as it is to be.
    """
    wanted = [split_name(name) for name in names]
    twice = sorted({name for name, _ in wanted if [n for n, _ in wanted].count(name) > 1})
    if twice:
        raise BadInputError(f"The feature {twice[0]!r} is named twice.", hint="Name each once.")
    active = np.flatnonzero(np.bincount(window.events.item, minlength=len(window.items))).tolist()
    columns = values_of(window, [name for name, _ in wanted])
    features: list[Feature] = []
    for (name, kind), column in zip(wanted, columns, strict=True):
        values = [column[item] for item in active]
        found = kind_of(values)
        if found is None:
            there = ", ".join(described(window)) or "none"
            raise BadInputError(
                f"No item of the training window has an attribute {name!r}.", hint=f"There are: {there}."
            )
        features.append(_fitted(name, kind or found, values, scaling))
    return FeatureEncoder(tuple(name for name, _ in wanted), tuple(features))


def add_features(graph: HeteroData, snapshot: Snapshot, encoder: FeatureEncoder) -> None:
    """Sets `graph["item"].x`, float32 [I, W + F]."""
    graph[ITEM].x = torch.from_numpy(encoder(snapshot))


def _fitted(name: str, kind: Kind, values: Values, scaling: Scaling) -> Feature:
    if kind == "number":
        return Number.fit(name, values, scaling)
    if kind == "label":
        return Label.fit(name, values)
    return Text.fit(name, values) if kind == "text" else Vector.fit(name, values)
