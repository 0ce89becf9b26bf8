"""When people come: hours of the day, days of the week, the year, and the rush of a campaign."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graph.arrays import Float64s, Int64s
from graph.storage.times import DAY_US
from graph.synth.options import START_US

HOUR_US = DAY_US // 24
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 10, 11, 12, 13, 14, 13, 12, 12, 13, 15, 18, 22, 24, 20, 12, 5], np.float64)
"""How many come in each hour of the day (UTC), against each other."""
WEEKDAYS = np.array([1.0, 0.95, 0.95, 1.0, 1.15, 1.4, 1.25])
"""The same for Monday … Sunday."""
YEARLY = 0.15
"""Swing of the year around its mean, highest at the end of December."""
_FIRST_WEEKDAY = 2  # START_US is a Wednesday


@dataclass(frozen=True, eq=False)
class Season:
    """The share of all visits that has come by each full hour of `days` days."""

    cumulated: Float64s  # [24 · days + 1] from 0 to 1

    def at(self, share: Float64s) -> Int64s:
        """int64 us [n]: when so much of all visits [n], in [0, 1), has come."""
        hours = np.interp(share, self.cumulated, np.arange(len(self.cumulated)))
        return START_US + (hours * HOUR_US).astype(np.int64)

    @property
    def end_us(self) -> int:
        return START_US + (len(self.cumulated) - 1) * HOUR_US

    def elapsed(self, at_us: npt.NDArray[np.int64]) -> Float64s:
        """float64 [n]: the share of the whole time that is over."""
        return np.clip((at_us - START_US) / (self.end_us - START_US), 0.0, 1.0)


def make_season(days: int, rush: Float64s) -> Season:
    """`rush` float64 [days]: what campaigns multiply a day by."""
    day = np.arange(days)
    busy = WEEKDAYS[(day + _FIRST_WEEKDAY) % 7] * (1 + YEARLY * np.cos(2 * np.pi * (day + 5) / 365.25)) * rush
    hourly = (busy[:, None] * HOURS).ravel()
    return Season(np.concatenate([[0.0], np.cumsum(hourly) / hourly.sum()]))
