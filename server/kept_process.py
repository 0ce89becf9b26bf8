"""A process that is started again whenever it ends, and that ends with the one that keeps it.

It is spawned, never forked, since neither gRPC nor torch survives a fork.
"""

import multiprocessing
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog

AGAIN_AFTER_S = 1.0
AGAIN_AFTER_AT_MOST_S = 30.0
"""A process that ends at once is started again ever more slowly."""
STEADY_S = 60.0
"""Whoever lasted so long starts again without delay."""

log = structlog.get_logger("penchant.server")

_SPAWN = multiprocessing.get_context("spawn")


class KeptProcess:
    """`start`, `hears` what it says once it is ready, `look_after` it every now and then, `tell_to_stop`, `end`."""

    def __init__(self, name: str, work: Callable[..., None], *arguments: Any, silent_s: float | None = None) -> None:
        """work: a function of a module, called in the process as `work(told, *arguments)`. It sends something by `told`
        when it is ready, and ends once `told` is closed at the other end (`until_told`).

        silent_s: it goes on to send, and is killed where it has been silent for so long; None: it does not.
        """
        self.name = name
        self._work = work
        self._arguments = arguments
        self._silent_s = silent_s
        self._heard_at = 0.0
        self._process: SpawnProcess | None = None
        self._began = 0.0
        self._again_after_s = 0.0
        self._again_at = 0.0

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def sentinel(self) -> int:
        assert self._process is not None
        return self._process.sentinel

    def start(self) -> None:
        # The process reads the one end until the other is closed, which happens even if this process is killed.
        self._heard, told = _SPAWN.Pipe(duplex=True)
        process = _SPAWN.Process(target=_run, args=(self._work, told, self._arguments), name=self.name)
        with told:
            process.start()
        self._process = process
        self._began = self._heard_at = time.monotonic()

    def hears(self, no_more: Callable[[], bool]) -> Any:
        """Waits until it says something; None where it ended without a word, or once there is `no_more` waiting."""
        with suppress(EOFError, OSError):
            while not self._heard.poll(0.1):
                if no_more():
                    return None
            return self._heard.recv()
        return None

    def look_after(self) -> None:
        """Starts it again if it ended, now or once its delay is over."""
        if self._process is None:
            if time.monotonic() >= self._again_at:
                try:
                    self.start()
                except OSError as error:  # no memory or no process left, just now
                    self._put_off(f"could not be started: {error}")
            return
        if self._process.is_alive():
            if self._silent_s is not None and self._is_silent(self._silent_s):
                log.error("a process hangs and is killed", process=self.name, silent_s=self._silent_s)
                self._process.kill()
            return
        code = self._process.exitcode
        self._heard.close()
        self._process = None
        self._put_off(f"ended with exit code {code}")

    def _is_silent(self, for_s: float) -> bool:
        with suppress(EOFError, OSError):
            while self._heard.poll():
                self._heard.recv()
                self._heard_at = time.monotonic()
        return time.monotonic() - self._heard_at > for_s

    def _put_off(self, why: str) -> None:
        now = time.monotonic()
        longer = min(max(AGAIN_AFTER_S, 2 * self._again_after_s), AGAIN_AFTER_AT_MOST_S)
        self._again_after_s = 0.0 if now - self._began >= STEADY_S else longer
        self._again_at = now + self._again_after_s
        log.error("a process ended", process=self.name, why=why, again_after_s=self._again_after_s)

    def tell_to_stop(self) -> None:
        if self._process is not None:
            self._heard.close()

    def end(self, deadline: float) -> None:
        """Kills it where it is not gone by `deadline` (monotonic seconds)."""
        if self._process is None:
            return
        self._process.join(max(deadline - time.monotonic(), 0))
        if self._process.is_alive():
            log.error("a process did not stop in time and was killed", process=self.name)
            self._process.kill()
            self._process.join()


def until_told(told: Connection) -> None:
    """In the process: returns once it is to stop, or who keeps it is gone."""
    with suppress(EOFError, OSError):
        told.recv()


def _run(work: Callable[..., None], told: Connection, arguments: tuple[Any, ...]) -> None:
    """Signals to the group, such as Ctrl-C, are for the process that keeps this one."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    work(told, *arguments)
