"""How often each caller may call: a bucket of tokens, which fills at the caller's rate and holds a second's worth."""

import time
from collections import OrderedDict
from collections.abc import Callable

from server.auth.caller import Caller

MOST_BUCKETS = 10_000
"""Tokens can name any number of subjects. Whoever called longest ago is forgotten first, and starts with a full bucket,
which is what a second of silence gives anyhow."""


class Rates:
    """`per_second`: of callers that bring no rate of their own; 0: as many as come. Not for several threads."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: Caller) -> float:
        """0 where a token was there and is taken, else the seconds until the next one."""
        rate = self._per_second if caller.rate is None else caller.rate
        if not rate:
            return 0.0
        now, holds = self._clock(), max(1.0, rate)
        left, then = self._buckets.pop(caller.name, (holds, now))
        left = min(holds, left + (now - then) * rate)
        taken = left >= 1
        self._buckets[caller.name] = (left - taken, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - left) / rate
