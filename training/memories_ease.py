"""EASE as a memory of the mixture where users are few and their histories long: whole, as factors."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graph.arrays import Float32s
from graph.histories import Histories
from graph.memories.ease_factors import EaseFactors, ease_factors, interests, recall_ease
from graph.memories.trend import trend
from graph.storage.times import DAY_US


@dataclass(frozen=True)
class Ease:
    """What a user's items speak for and the user has not had, times trend^trend_power.

    Interest fades by half in `half_life_days` (None: never); `trend` float32 [V] counts newcomers of `trend_days`.
    """

    type: ClassVar[str] = "ease"
    name: str
    half_life_days: float | None
    trend_days: float
    trend_power: float
    factors: EaseFactors
    trend: Float32s
    loudness: float = 0.0
    """How much of what kinds of events say is heard."""

    def recall(self, histories: Histories, now_us: NDArray[np.int64]) -> sparse.csr_array:
        boost = np.power(self.trend, np.float32(self.trend_power)) if self.trend_power else None
        mine = interests(histories.heard(self.loudness), now_us, half_life_us(self.half_life_days))
        return recall_ease(self.factors, mine, boost)

    def recounted(self, histories: Histories, as_of: int) -> "Ease":
        return replace(
            self,
            factors=ease_factors(histories.heard(self.loudness), as_of, half_life_us(self.half_life_days)),
            trend=trend(histories, as_of, round(self.trend_days * DAY_US)),
        )

    def settings(self) -> dict[str, Any]:
        names = ("half_life_days", "trend_days", "trend_power", "loudness")
        return {name: getattr(self, name) for name in names}

    def arrays(self) -> dict[str, NDArray[Any]]:
        f = self.factors
        return {"items": f.items, "factors": f.factors, "scale": f.scale, "trend": self.trend}


def learn_ease(
    histories: Histories,
    as_of: int,
    window_days: float,
    half_life_days: float | None,
    trend: Float32s,
    loudness: float = 0.0,
) -> Ease:
    """Not yet boosted by what is on the rise."""
    factors = ease_factors(histories.heard(loudness), as_of, half_life_us(half_life_days))
    return Ease("ease", half_life_days, window_days, 0.0, factors, trend, loudness)


def half_life_us(days: float | None) -> float:
    return np.inf if days is None else days * DAY_US
