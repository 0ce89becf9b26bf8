"""Several processes that serve as one: they listen on the same port, and the kernel gives each connection to one.

This process keeps the port and watches: a worker that ends is started again, the others go on. They share the models
through the files that they map. Where a device is to be used, one more process owns it, and all workers ask that one.
"""

import socket
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path

import typer

from graph.storage.errors import BadInputError, PenchantError
from graph.storage.settings import Settings
from server.addresses import family_of, host_and_port, written
from server.kept_process import KeptProcess, until_told
from server.serving import BEYOND_GRACE_S, own_until, serve_until


class Workers:
    """N processes on one port. `start` returns once all of them listen."""

    def __init__(self, settings: Settings, *, owned: str | None = None) -> None:
        """owned: the device that a process is to own; None: that of the settings, where it is not the processor.

        Raises BadInputError for an address that processes cannot share.
        """
        self._socket, listen = _reserved(settings.listen)
        self.port = int(self._socket.getsockname()[1])
        self._settings = settings.model_copy(update={"listen": listen})
        self._folder = tempfile.TemporaryDirectory(prefix="penchant-")  # nobody else's, by its mode
        device = owned or (settings.serve_device if settings.serve_device != "cpu" else None)
        address = Path(self._folder.name, "owner")
        self._owner = KeptProcess("owner", _own, self._settings, device, address) if device else None
        self._address = address
        self._workers: list[KeptProcess] = []

    def start(self) -> None:
        """Raises PenchantError where a process cannot start."""
        address = self._address if self._has_owner() else None
        for number in range(1, self._settings.workers + 1):
            worker = KeptProcess(f"worker {number}", _work, _of_worker(self._settings, number), address)
            worker.start()
            self._workers.append(worker)
        for worker in self._workers:
            if not worker.hears():
                raise self._cannot_start(worker)

    def _has_owner(self) -> bool:
        """Once it is there. It says that it is of no use where any device would do, and there is none."""
        if self._owner is None:
            return False
        self._owner.start()
        is_there = self._owner.hears()
        if is_there is None:
            raise self._cannot_start(self._owner)
        if not is_there:
            self._owner.end(time.monotonic() + BEYOND_GRACE_S)
            self._owner = None
        return bool(is_there)

    def _cannot_start(self, process: KeptProcess) -> PenchantError:
        self.stop()
        return PenchantError(f"{process.name.capitalize()} could not start.", hint="Its own message stands above.")

    def watch(self, stopping: threading.Event) -> None:
        """Starts again what ends, until `stopping`."""
        processes = [*self._workers, *([self._owner] if self._owner else [])]
        while not stopping.is_set():
            wait([process.sentinel for process in processes if process.runs], timeout=0.2)
            for process in processes:
                process.look_after()

    def stop(self) -> None:
        """Lets calls in flight finish within the grace period; whoever takes longer is killed."""
        deadline = time.monotonic() + self._settings.grace_s + BEYOND_GRACE_S
        for processes in (self._workers, [self._owner] if self._owner else []):  # the owner is asked until the last
            for process in processes:
                process.tell_to_stop()
            for process in processes:
                process.end(deadline)
        self._socket.close()
        self._folder.cleanup()


def _work(told: Connection, settings: Settings, owner: Path | None) -> None:
    """What a worker does."""
    try:
        serve_until(
            settings, lambda: until_told(told), on_port=lambda port: told.send(True), share_port=True, owner=owner
        )
    except typer.Exit as ended:  # what was wrong is said
        raise SystemExit(ended.exit_code) from None


def _own(told: Connection, settings: Settings, device: str, address: Path) -> None:
    """What the owner does."""
    try:
        own_until(settings, device, address, lambda: until_told(told), on_ready=told.send)
    except typer.Exit as ended:
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
            f"Several processes cannot share {listen}.",
            hint="Give --listen a host and a port, or use one worker and no device.",
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


def serve_with_workers(
    settings: Settings, stopping: threading.Event, on_port: Callable[[int], None], *, owned: str | None = None
) -> None:
    """owned: as of Workers."""
    workers = Workers(settings, owned=owned)
    workers.start()
    try:
        on_port(workers.port)
        workers.watch(stopping)
    finally:  # whatever happens here, no process is left alone
        workers.stop()
