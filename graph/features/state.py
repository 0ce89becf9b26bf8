"""What a fitted feature keeps: its fields, all of them arrays or numbers, under their own names."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np


@dataclass(frozen=True, eq=False)
class Kept:
    """Fields to arrays and back; a number comes back as an array without dimensions."""

    def state(self) -> dict[str, Any]:
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of_state(cls, state: Mapping[str, Any]) -> Self:
        """Raises KeyError for a field that is not there."""
        return cls(**{field.name: np.asarray(state[field.name]) for field in fields(cls)})
