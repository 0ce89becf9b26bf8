"""What an event says of its user: for the item or against it, how much, and how that fades.

    a kind without `middle`    sign · weight                       a purchase, a dislike; an event without a value too
    a kind with `middle`       sign · weight · (value - middle)    a rating: 5 of 1 … 5 says +2, 1 says -2, 3 nothing

and half of it after each `half_life_days`. What speaks for an item makes the history, what speaks against it is kept
beside it (`Histories.against`), and what says nothing (0) stays in the history without weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graph.arrays import Float32s, Float64s, Int64s
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US

Numbers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Meaning:
    """Of K kinds, by their index: `sign`, `weight`, `half_life_us` (inf: never fades), `middle` (NaN: has none)."""

    sign: npt.NDArray[np.int8]
    weight: Float64s
    half_life_us: Float64s
    middle: Float64s
    loudness: float = 1.0
    """What is said is raised to this: at 1/2 a view of weight 0.2 is heard as 0.45, at 0 all events as loud."""

    @classmethod
    def of(cls, kinds: Sequence[EventKind]) -> "Meaning":
        return cls(
            np.array([kind.sign for kind in kinds], np.int8),
            np.array([kind.weight for kind in kinds], np.float64),
            np.array([np.inf if kind.half_life_days is None else kind.half_life_days * DAY_US for kind in kinds]),
            np.array([np.nan if kind.middle is None else kind.middle for kind in kinds], np.float64),
        )

    def side(self, kind: Numbers, value: Float32s) -> npt.NDArray[np.int8]:
        """int8 [n]: +1 for the item, -1 against it, 0 neither."""
        side: npt.NDArray[np.int8] = (self.sign[kind] * np.sign(self._points(kind, value))).astype(np.int8)
        return side

    def strength(self, kind: Numbers, value: Float32s) -> Float64s:
        """float64 [n], at least 0: how much each event says when it happens."""
        strength: Float64s = self.weight[kind] * np.abs(self.sign[kind] * self._points(kind, value))
        return strength

    def strength_after(self, kind: Numbers, value: Float32s, age_us: Int64s) -> Float64s:
        """float64 [n]: what is heard of it after `age_us` [n]; ages below 0 count as 0."""
        said = self.strength(kind, value) * np.exp2(-np.maximum(age_us, 0) / self.half_life_us[kind])
        return said if self.loudness == 1 else said**self.loudness

    def _points(self, kind: Numbers, value: Float32s) -> Float64s:
        points = np.asarray(value, np.float64) - self.middle[kind]
        return np.where(np.isnan(points), 1.0, points)
