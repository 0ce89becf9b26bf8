"""The tries of one call: which error deserves another, after which pause, and until when."""

import random
from time import monotonic

import grpc

from penchant.errors import PenchantError

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_random = random.Random().uniform  # noqa: S311  (no secret)


class Attempts:
    """How many tries of a call are left, and the time that they share."""

    def __init__(self, deadline_ms: float, retries: int) -> None:
        if deadline_ms <= 0:
            raise ValueError(f"deadline_ms must be above 0, not {deadline_ms}")
        self._ends = monotonic() + deadline_ms / 1_000
        self._retries = retries
        self._failures = 0

    def left_s(self) -> float:
        """Seconds until the deadline, never negative."""
        return max(0.0, self._ends - monotonic())

    def progressed(self) -> None:
        """Something arrived, so that earlier failures no longer count."""
        self._failures = 0

    def pause_s(self, error: PenchantError, *, anyway: bool = False) -> float:
        """Seconds to wait before the next try; raises `error` where there is none.

        anyway: try again although the code alone says no, as an export does after a corrupt chunk.
        """
        self._failures += 1
        pause_s = _pause_s(error, self._failures, anyway)
        if pause_s is None or self._failures > self._retries or pause_s >= self.left_s():
            raise error
        return pause_s


def _pause_s(error: PenchantError, failures: int, anyway: bool) -> float | None:
    """None where another try is wrong. Random, so that callers do not all come back at once."""
    asked_s = error.retry_after_s
    if asked_s is not None and error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return asked_s * _random(1.0, 1.1)
    if anyway or error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (failures - 1)) * _random(0.5, 1.0)
    return None
