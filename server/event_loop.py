"""The event loop of a server, in a thread of its own: the main thread waits for signals, others hand it coroutines."""

import asyncio
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


class EventLoop:
    """Runs until `close`."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises. To be called from any thread but the loop's own."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def delay_s(self, patience_s: float) -> float:
        """How long it takes to get to what it is given, seconds; at most `patience_s`, as once it is closed."""
        begun, reached = time.perf_counter(), threading.Event()
        with suppress(RuntimeError):  # closed
            self._loop.call_soon_threadsafe(reached.set)
        return time.perf_counter() - begun if reached.wait(patience_s) else patience_s

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
