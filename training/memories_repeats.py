"""What a user comes back to, as a memory of the mixture: weights learned once, rates counted anew."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graph.arrays import Float32s, Int32s
from graph.histories import Histories
from graph.memories.repeats import RepeatWeights, recall_repeats
from graph.memories.repeats_fit import fit_repeats
from graph.memories.repurchase import RepurchaseRates, repurchase_rates
from graph.storage.times import DAY_US


@dataclass(frozen=True)
class LearnedRepeats:
    """Each own item's probability to come again within the horizon of `weights`, divided by their sum."""

    type: ClassVar[str] = "learned_repeats"
    name: str
    weights: RepeatWeights
    rates: RepurchaseRates

    def recall(self, histories: Histories, now_us: NDArray[np.int64]) -> sparse.csr_array:
        return recall_repeats(histories, now_us, self.weights, self.rates)

    def recounted(self, histories: Histories, as_of: int, group: Int32s) -> "LearnedRepeats":
        """The same weights over the rates of newer events. `group` int32 [V]: a category of each item, -1 = none."""
        return replace(self, rates=repurchase_rates(histories, as_of, self.weights.horizon_us, group))

    def settings(self) -> dict[str, Any]:
        w = self.weights
        arrays = {"weight": w.weight.tolist(), "mean": w.mean.tolist(), "scale": w.scale.tolist()}
        return {"horizon_us": w.horizon_us, "bias": w.bias, **arrays}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"log_rate": self.rates.log_rate, "log_rate_now": self.rates.log_rate_now}

    @classmethod
    def of(cls, entry: dict[str, Any], log_rate: Float32s, log_rate_now: Float32s) -> "LearnedRepeats":
        """From what `settings` and `arrays` gave. KeyError, TypeError or ValueError when it is something else."""
        parts = {name: np.asarray(entry[name], dtype=np.float64) for name in ("weight", "mean", "scale")}
        weights = RepeatWeights(int(entry["horizon_us"]), float(entry["bias"]), **parts)
        return cls(entry["name"], weights, RepurchaseRates(log_rate, log_rate_now))


def learn_repeats(histories: Histories, as_of: int, window_days: float, group: Int32s) -> LearnedRepeats | None:
    """Learned from the two windows of that length before `as_of`; None where too few come back to learn from."""
    horizon_us = round(window_days * DAY_US)
    weights = fit_repeats(histories, as_of, horizon_us, group)
    if weights is None:
        return None
    return LearnedRepeats("repeats", weights, repurchase_rates(histories, as_of, horizon_us, group))
