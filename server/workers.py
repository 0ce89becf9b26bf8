"""Several processes that serve as one: they listen on the same port, and the kernel gives each connection to one.

This process keeps the port and watches: a worker that ends is started again, the others go on. They share the models
through the files that they map. Where a device is to be used, one more process owns it, and all workers ask that one.
"""

import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

import typer

from graph.storage.errors import BadInputError, PenchantError
from graph.storage.settings import Settings
from server.addresses import family_of, host_and_port, written
from server.kept_process import KeptProcess, until_told
from server.serving import BEYOND_GRACE_S, serve_until

OWNER_STARTS_S = 120.0
"""A driver that does not even say whether there is a card is waited for so long."""
OWNER_SILENT_S = 15.0
"""The first pass of a card may take seconds."""
OWNER_ENDS_S = 2.0


class Workers:
    """N processes on one port. `start` returns once all of them listen."""

    def __init__(self, settings: Settings, *, owned: str | None = None) -> None:
        """owned: the device that a process is to own; None: that of the settings, where it is not the processor.

        Raises BadInputError for an address that processes cannot share.
        """
        self._socket, listen = _reserved(settings.listen)
        self.port = int(self._socket.getsockname()[1])
        self._settings = settings.model_copy(update={"listen": listen})
        self._device = owned or (settings.serve_device if settings.serve_device != "cpu" else None)
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._owner: KeptProcess | None = None
        self._workers: list[KeptProcess] = []

    def start(self, stopping: threading.Event) -> None:
        """Raises PenchantError where a process cannot start, or where it is to stop already."""
        owner = self._start_owner(self._device, stopping) if self._device else None
        for number in range(1, self._settings.workers + 1):
            worker = KeptProcess(f"worker {number}", _work, _of_worker(self._settings, number), owner)
            worker.start()
            self._workers.append(worker)
        for worker in self._workers:
            if not worker.hears(stopping.is_set):
                raise _cannot_start(worker)

    def _start_owner(self, device: str, stopping: threading.Event) -> Path | None:
        """Its socket, once it is there. It says that it is of no use where any device would do, and there is none."""
        self._folder = tempfile.TemporaryDirectory(prefix="penchant-")  # nobody else's, by its mode
        address = Path(self._folder.name, "owner")
        owner = KeptProcess("owner", _own, self._settings, device, address, silent_s=OWNER_SILENT_S)
        owner.start()
        self._owner = owner
        too_late = time.monotonic() + OWNER_STARTS_S
        is_there = owner.hears(lambda: stopping.is_set() or time.monotonic() > too_late)
        if is_there is None:
            raise _cannot_start(owner)
        if is_there:
            return address
        owner.end(time.monotonic() + OWNER_ENDS_S)
        self._owner = None
        return None

    def watch(self, stopping: threading.Event) -> None:
        """Starts again what ends, until `stopping`."""
        processes = [*self._workers, *([self._owner] if self._owner else [])]
        while not stopping.is_set():
            wait([process.sentinel for process in processes if process.runs], timeout=0.2)
            for process in processes:
                process.look_after()

    def stop(self) -> None:
        """Lets calls in flight finish within the grace period; whoever takes longer is killed."""
        for worker in self._workers:
            worker.tell_to_stop()
        deadline = time.monotonic() + self._settings.grace_s + BEYOND_GRACE_S
        for worker in self._workers:
            worker.end(deadline)
        if self._owner:  # which workers asked until their last answer
            self._owner.tell_to_stop()
            self._owner.end(time.monotonic() + OWNER_ENDS_S)
        if self._folder:
            self._folder.cleanup()
        self._socket.close()


def _cannot_start(process: KeptProcess) -> PenchantError:
    return PenchantError(f"{process.name.capitalize()} could not start.", hint="Its own message stands above.")


def _work(told: Connection, settings: Settings, owner: Path | None) -> None:
    """What a worker does."""
    with _ends_as_told():
        serve_until(settings, partial(until_told, told), told.send, share_port=True, owner=owner)


def _own(told: Connection, settings: Settings, device: str, address: Path) -> None:
    """What the owner does."""
    from server.owner.process import own  # loads torch, which whoever only watches should not have to

    with _ends_as_told():
        own(told, settings, device, address)


@contextmanager
def _ends_as_told() -> Iterator[None]:
    """What was wrong is said already."""
    try:
        yield
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
    try:
        workers.start(stopping)
        on_port(workers.port)
        workers.watch(stopping)
    finally:  # whatever happens here, no process is left alone
        workers.stop()
