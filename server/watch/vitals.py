"""Does the server live, and is it ready? What a probe over HTTP asks, and what nobody but the parts themselves can say.

Alive: the event loop answers, and the threads that every answer needs run. What is not alive stays so: start it anew.
Ready: a model is loaded and the server is not stopping. What is not ready may become so: wait. The store is told of and
decides nothing: while it is away the server answers from memory, and every other server finds it away as well.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent import futures
from typing import NamedTuple

from graph.storage.changes import newest_change
from graph.storage.database import Database
from graph.storage.errors import PenchantError
from server.event_loop import EventLoop
from server.reload import Models

LOOP_S = 1.0
STORE_S = 2.0
"""How long the event loop and the store may take to answer a probe."""
FINE = "ok"


class Answer(NamedTuple):
    """`parts` says of each part FINE, or what is wrong with it."""

    is_fine: bool
    parts: Mapping[str, str]


class Vitals:
    """Threads may share it."""

    def __init__(
        self,
        loop: EventLoop,
        threads: Mapping[str, Callable[[], bool]],
        models: Models,
        database: Database,
        is_stopping: Callable[[], bool],
    ) -> None:
        """`threads`: by its name, whether each runs."""
        self._loop = loop
        self._threads = threads
        self._models = models
        self._database = database
        self._is_stopping = is_stopping
        self._asking = futures.ThreadPoolExecutor(1, thread_name_prefix="ask-store")
        self._asked: futures.Future[int] | None = None
        self._lock = threading.Lock()

    def close(self) -> None:
        self._asking.shutdown(wait=False, cancel_futures=True)

    def alive(self) -> Answer:
        loop = FINE if self._loop.delay_s(LOOP_S) < LOOP_S else f"did not answer within {LOOP_S:g} s"
        threads = {name: FINE if runs() else "ended" for name, runs in self._threads.items()}
        return _answer({"event loop": loop} | threads)

    def ready(self) -> Answer:
        needed = _answer({"model": self._model(), "server": "is stopping" if self._is_stopping() else FINE})
        return needed._replace(parts={**needed.parts, "store": self._store()})

    def _model(self) -> str:
        try:
            self._models.current()
        except PenchantError as error:
            return str(error)
        return FINE

    def _store(self) -> str:
        """One question at a time: a store that does not answer would else hold a thread for each probe."""
        with self._lock:
            if self._asked is None or self._asked.done():
                self._asked = self._asking.submit(newest_change, self._database)
            asked = self._asked
        try:
            asked.result(STORE_S)
        except futures.TimeoutError:
            return f"did not answer within {STORE_S:g} s"
        except PenchantError as error:
            return str(error)
        return FINE


def _answer(parts: dict[str, str]) -> Answer:
    return Answer(all(said == FINE for said in parts.values()), parts)
