"""Several processes that serve as one: they listen on the same port, and the kernel gives each connection to one.

This process keeps the port and watches: a worker that ends is started again, the others go on. Workers are spawned,
never forked, since neither gRPC nor torch survives a fork. They share the models through the files that they map.
"""

import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import structlog
import typer

from graph.storage.errors import BadInputError, PenchantError
from graph.storage.settings import Settings
from server.addresses import family_of, host_and_port, written
from server.serving import BEYOND_GRACE_S, serve_until

AGAIN_AFTER_S = 1.0
AGAIN_AFTER_AT_MOST_S = 30.0
"""A worker that ends at once is started again ever more slowly."""
STEADY_S = 60.0
"""Whoever lasted so long starts again without delay."""

log = structlog.get_logger("penchant.server")

_SPAWN = multiprocessing.get_context("spawn")


class Workers:
    """N processes on one port. `start` returns once all of them listen."""

    def __init__(self, settings: Settings) -> None:
        """Raises BadInputError for an address that processes cannot share."""
        self._socket, listen = _reserved(settings.listen)
        self.port = int(self._socket.getsockname()[1])
        self._settings = settings.model_copy(update={"listen": listen})
        self._workers = [
            _Worker(number, _of_worker(self._settings, number)) for number in range(1, settings.workers + 1)
        ]

    def start(self) -> None:
        """Raises PenchantError where a worker cannot start."""
        for worker in self._workers:
            worker.start()
        for worker in self._workers:
            if not worker.is_listening():
                self.stop()
                raise PenchantError(f"Worker {worker.number} could not start.", hint="Its own message stands above.")

    def watch(self, stopping: threading.Event) -> None:
        """Starts again what ends, until `stopping`."""
        while not stopping.is_set():
            wait([worker.sentinel for worker in self._workers if worker.runs], timeout=0.2)
            for worker in self._workers:
                worker.look_after()

    def stop(self) -> None:
        """Lets calls in flight finish within the grace period; whoever takes longer is killed."""
        for worker in self._workers:
            worker.tell_to_stop()
        deadline = time.monotonic() + self._settings.grace_s + BEYOND_GRACE_S
        for worker in self._workers:
            worker.end(deadline)
        self._socket.close()


class _Worker:
    def __init__(self, number: int, settings: Settings) -> None:
        self.number = number
        self._settings = settings
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
        # The worker reads the one end until the other is closed, which happens even if this process is killed.
        self._heard, told = _SPAWN.Pipe(duplex=True)
        self._process = _SPAWN.Process(target=_work, args=(self._settings, told), name=f"penchant-{self.number}")
        self._process.start()
        told.close()
        self._began = time.monotonic()

    def is_listening(self) -> bool:
        """Waits until it does, or has ended."""
        with suppress(EOFError):
            return bool(self._heard.recv())
        return False

    def look_after(self) -> None:
        if self._process is None:
            if time.monotonic() >= self._again_at:
                try:
                    self.start()
                except OSError as error:  # no memory or no process left, just now
                    self._process = None
                    self._put_off(f"could not be started: {error}")
            return
        if self._process.is_alive():
            return
        code = self._process.exitcode
        self._heard.close()
        self._process = None
        self._put_off(f"ended with exit code {code}")

    def _put_off(self, why: str) -> None:
        now = time.monotonic()
        longer = min(max(AGAIN_AFTER_S, 2 * self._again_after_s), AGAIN_AFTER_AT_MOST_S)
        self._again_after_s = 0.0 if now - self._began >= STEADY_S else longer
        self._again_at = now + self._again_after_s
        log.error("a worker ended", worker=self.number, why=why, again_after_s=self._again_after_s)

    def tell_to_stop(self) -> None:
        if self._process is not None:
            self._heard.close()

    def end(self, deadline: float) -> None:
        if self._process is None:
            return
        self._process.join(max(deadline - time.monotonic(), 0))
        if self._process.is_alive():
            log.error("a worker did not stop in time and was killed", worker=self.number)
            self._process.kill()
            self._process.join()


def _work(settings: Settings, told: Connection) -> None:
    """What a worker does. Signals to the group, such as Ctrl-C, are for the process that watches."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)

    def until_told() -> None:
        with suppress(EOFError, OSError):
            told.recv()

    try:
        serve_until(settings, until_told, on_port=lambda port: told.send(True), share_port=True)
    except typer.Exit as ended:  # what was wrong is said
        raise SystemExit(ended.exit_code) from None


def _of_worker(settings: Settings, number: int) -> Settings:
    """Each tells its metrics on a port of its own: one after the other from the one that is set."""
    found = host_and_port(settings.metrics_listen)
    if found is None or found[1] == 0:
        return settings
    host, port = found
    return settings.model_copy(update={"metrics_listen": written(host, port + number - 1)})


def _reserved(listen: str) -> tuple[socket.socket, str]:
    """A socket that keeps the port without taking connections, and the address with the number that it got."""
    found = host_and_port(listen)
    if found is None:
        raise BadInputError(
            f"Several workers cannot share {listen}.", hint="Give --listen a host and a port, or use one worker."
        )
    host, _ = found
    keeper = socket.socket(family_of(host), socket.SOCK_STREAM)
    try:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(found)
    except OSError as error:
        keeper.close()
        raise BadInputError(
            f"Cannot listen on {listen}.", hint="Is it taken by another server? Choose one with --listen."
        ) from error
    return keeper, written(host, keeper.getsockname()[1])


def serve_with_workers(settings: Settings, stopping: threading.Event, on_port: Callable[[int], None]) -> None:
    workers = Workers(settings)
    workers.start()
    try:
        on_port(workers.port)
        workers.watch(stopping)
    finally:  # whatever happens here, no worker is left alone
        workers.stop()
