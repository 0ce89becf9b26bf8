"""The channel's settings, and when a call is sent again."""

import json
import random
from time import monotonic, sleep

import grpc

from penchant.errors import PenchantError

MAX_MESSAGE_BYTES = 4 * 2**20
"""gRPC's own limit, kept: the server cuts its chunks to fit, and a larger request is refused here at once."""

OPTIONS: tuple[tuple[str, int | str], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Servers and proxies by default close connections that ping more often than every five minutes.
    ("grpc.keepalive_time_ms", 300_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    # The default grows to two minutes, long after a server that was restarted is there again.
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # Spread calls over all addresses of the target's name; the default stays with the first.
    ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_random = random.Random().uniform  # noqa: S311  (no secret)


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel to `target` ("host:port"), unencrypted where `credentials` is None. Connects at the first call."""
    if credentials is None:
        return grpc.insecure_channel(target, OPTIONS)
    return grpc.secure_channel(target, credentials, OPTIONS)


class Attempts:
    """The tries of one call: how many are left, and the time that they share."""

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

    def pause_or_raise(self, error: PenchantError, *, anyway: bool = False) -> None:
        """Sleeps until it is time for the next try; raises `error` where there is none.

        anyway: try again although the code alone says no, as an export does after a corrupt chunk.
        """
        self._failures += 1
        pause_s = _pause_s(error, self._failures, anyway)
        if pause_s is None or self._failures > self._retries or pause_s >= self.left_s():
            raise error
        sleep(pause_s)


def _pause_s(error: PenchantError, failures: int, anyway: bool) -> float | None:
    """Seconds until the next try, None where another is wrong. Random, so that callers do not all come back at once."""
    asked_s = error.retry_after_s
    if asked_s is not None and error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
        return asked_s * _random(1.0, 1.1)
    if anyway or error.code is grpc.StatusCode.UNAVAILABLE:
        return min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** (failures - 1)) * _random(0.5, 1.0)
    return None
