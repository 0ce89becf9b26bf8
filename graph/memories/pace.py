"""When each item had its events: how many in any span before any moment, when the first, when the last."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from graph.arrays import Bools, Float32s, Int64s
from graph.histories import Histories
from graph.storage.times import DAY_US, SECOND_US

MINUTE_US = 60 * SECOND_US
NEVER_DAYS = 3_650.0
"""An item without events is as if its last lay ten years back."""
_SHIFT = 32


@dataclass(frozen=True, eq=False)
class Pace:
    """`key` int64 [N], ascending: item · 2^32 + minute of the event since 1970 (shifted to be positive)."""

    key: Int64s
    n_items: int

    @cached_property
    def ever(self) -> Int64s:
        """int64 [V]: all events of each item."""
        return np.bincount(self.key >> _SHIFT, minlength=self.n_items)

    @property
    def minutes(self) -> Int64s:
        """int64 [N], item by item, ascending within an item: when the events happened."""
        return self.key & ((1 << _SHIFT) - 1)

    def counts(self, items: Int64s, now_us: Int64s, days: float | None = None) -> Int64s:
        """How many events of each item lie in [now - days, now), or before now; all arrays of one shape."""
        end = self._before(items, _minute(now_us))
        begin = self._begin(items) if days is None else self._before(items, _minute(now_us - round(days * DAY_US)))
        return end - begin

    def idle_days(self, items: Int64s, now_us: Int64s) -> Float32s:
        """Days since the last event before now, NEVER_DAYS where there is none."""
        end = self._before(items, _minute(now_us))
        return self._days(end - 1, end > self._begin(items), now_us)

    def age_days(self, items: Int64s, now_us: Int64s) -> Float32s:
        """Days since the first event before now, NEVER_DAYS where there is none."""
        begin = self._begin(items)
        return self._days(begin, self._before(items, _minute(now_us)) > begin, now_us)

    def _begin(self, items: Int64s) -> Int64s:
        return np.searchsorted(self.key, items << _SHIFT)

    def _before(self, items: Int64s, minute: Int64s) -> Int64s:
        return np.searchsorted(self.key, (items << _SHIFT) + minute)

    def _days(self, place: Int64s, there: Bools, now_us: Int64s) -> Float32s:
        if not len(self.key):
            return np.full(place.shape, NEVER_DAYS, np.float32)
        minute = self.key[np.where(there, place, 0)] & ((1 << _SHIFT) - 1)
        days = (_minute(now_us) - minute) / (DAY_US // MINUTE_US)
        return np.where(there, np.clip(days, 0, NEVER_DAYS), NEVER_DAYS).astype(np.float32)


def pace_of(histories: Histories) -> Pace:
    return Pace(
        np.sort((histories.item.astype(np.int64) << _SHIFT) + _minute(histories.occurred_at)), histories.n_items
    )


def _minute(moment_us: Int64s) -> Int64s:
    """0 … 2^32 - 1 over the years -2100 to 6000; what lies outside is moved to the border."""
    return np.clip(moment_us // MINUTE_US + (1 << (_SHIFT - 1)), 0, (1 << _SHIFT) - 1)
