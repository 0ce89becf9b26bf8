"""A thread that does the same again and again until it is told to stop, whatever goes wrong in between."""

import threading
from collections.abc import Callable

from server.logs import Trouble


class Repeating:
    """`work` at once after `start`, and again `every_s` seconds after each time.

    What it raises is said once, as trouble to `what`, and does not end the thread.
    """

    def __init__(self, name: str, work: Callable[[], None], *, every_s: float, what: str) -> None:
        self._work = work
        self._every_s = every_s
        self._trouble = Trouble(what)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns once it has ended."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._work()
            except Exception as error:  # the store may be away for a while; the next time tries again
                self._trouble.happened(error)
            else:
                self._trouble.is_over()
            self._stopping.wait(self._every_s)
