"""A number of the catalog (a price, a weight) on a scale learned from the training window alone.

standard   (x - mean) / standard deviation          min_max   (x - min) / (max - min)
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, Self, get_args

import numpy as np

from graph.arrays import Bools, Float32s, Float64s
from graph.features.state import Kept
from graph.features.values import Kind, Values, number_of
from graph.storage.errors import BadInputError

Scaling = Literal["standard", "min_max"]
SCALINGS: tuple[Scaling, ...] = get_args(Scaling)
FARTHEST = 10.0
"""On its scale no value lies farther out: a price of 10^9 among prices of 10 must not drown everything else."""


@dataclass(frozen=True, eq=False)
class Number(Kept):
    """A value x becomes (x - centre) / reach."""

    kind: ClassVar[Kind] = "number"
    width: ClassVar[int] = 1
    centre: float
    reach: float

    @classmethod
    def fit(cls, name: str, values: Values, scaling: Scaling) -> Self:
        """Raises BadInputError where no value is a number."""
        numbers = numbers_of(values)
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            raise BadInputError(
                f"No item of the training window has a number {name!r}.", hint=f"Read it otherwise, e.g. {name}:text."
            )
        if scaling == "standard":
            centre, reach = numbers.mean(), numbers.std()
        else:
            centre, reach = numbers.min(), np.ptp(numbers)
        return cls(float(centre), float(reach) if reach > 0 else 1.0)

    def __call__(self, values: Values) -> tuple[Float32s, Bools]:
        """float32 [I, 1], 0 where there is no number; bool [I], where there is."""
        numbers = numbers_of(values)
        known = np.isfinite(numbers)
        scaled = np.clip((np.where(known, numbers, self.centre) - self.centre) / self.reach, -FARTHEST, FARTHEST)
        return scaled.astype(np.float32)[:, None], known


def numbers_of(values: Values) -> Float64s:
    """float64 [I], NaN where an item has none. Text that is a number counts."""
    return np.array([number_of(value) for value in values], np.float64)
