"""How far the newest events outweigh all before them: p = (1 - λ) · p(history) + λ · p(its newest events).

    λ = top · unlike · 2^(-age / half_life)      age: time since the newest event
                                                 unlike: 1 - cosine of what the newest events and those before hold

The gate, fitted on what users do within weeks, trusts long histories; somebody whose interest has just turned would be
told of the old one for dozens of events. What is popular is said once, in the first term alone. `top` and `half_life`
are learned from what users did next (recency_fit.py); where nobody's next step depends on the last few, `top` is 0.
Cosines are those of likeness.py.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from graph.arrays import Float64s, Int64s
from graph.histories import Histories
from graph.storage.times import DAY_US
from training.likeness import Likeness

NEWEST = 5
"""Events that are looked at by themselves."""
BEFORE = 1_000
"""Events before these that they are compared with."""
LEAST = 0.02
"""A smaller λ changes nothing that is worth a second look."""
RECENCY = "recency"
"""What the manifest's config calls it."""


@dataclass(frozen=True)
class Recency:
    top: float = 0.0
    half_life_days: float = 1.0

    def __call__(self, histories: Histories, now_us: Int64s, likeness: Likeness) -> Float64s:
        """λ of each row [B]: 0 without more events than NEWEST."""
        lengths, share = histories.lengths, np.zeros(len(histories))
        rows = np.flatnonzero(lengths > NEWEST)
        if not self.top or not len(rows):
            return share
        age_us = np.maximum(np.asarray(now_us)[rows] - histories.occurred_at[histories.offsets[1:][rows] - 1], 0)
        fading = self.top * np.exp2(-age_us / (self.half_life_days * DAY_US))
        rows, fading = rows[fading >= LEAST], fading[fading >= LEAST]
        share[rows] = fading * unlike(histories.select(rows), likeness)
        return np.where(share < LEAST, 0, share)

    def settings(self) -> dict[str, float]:
        return {"top": self.top, "half_life_days": self.half_life_days}


def unlike(histories: Histories, likeness: Likeness) -> Float64s:
    """[B], 0 to 1: how little the newest events of each row, which has more, are like those before."""
    before = histories.oldest(np.maximum(histories.lengths - NEWEST, 0)).last(BEFORE)
    alike = likeness.of_histories(histories.last(NEWEST), before)
    return 1 - np.clip(alike.astype(np.float64), 0, 1)


ALIKE = Recency()
"""The newest events count like all."""


def read_recency(entry: Any) -> Recency:
    """From what `settings` gave; None: a revision of 0.1.0. KeyError, TypeError or ValueError for something else."""
    if entry is None:
        return ALIKE
    found = Recency(float(entry["top"]), float(entry["half_life_days"]))
    if not (0 <= found.top <= 1 and found.half_life_days > 0):
        raise ValueError(f"top {found.top} and half_life_days {found.half_life_days} are out of range")
    return found
