"""Does the server live, and is it ready? What a probe over HTTP asks, and what nobody but the parts themselves can say.

Alive: the event loop answers, and the threads that every answer needs run. What is not alive stays so: start it anew.
Ready: a model is loaded and the server is not stopping. What is not ready may become so: wait. The store is told of and
decides nothing: while it is away the server answers from memory, and every other server finds it away as well.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from graph.storage.errors import PenchantError
from server.event_loop import EventLoop
from server.reload import Models

LOOP_S = 1.0
"""How long the event loop may take to answer a probe."""
STORE_S = 2.0
"""For how long the store may not have answered."""
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
        store_silent_s: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        """`threads`: by its name, whether each runs; `store_silent_s`: how long ago the change feed was read."""
        self._loop = loop
        self._threads = threads
        self._models = models
        self._store_silent_s = store_silent_s
        self._is_stopping = is_stopping

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
        """Whoever follows what users do asks it five times a second, and nobody has to wait for it here."""
        silent_s = self._store_silent_s()
        return FINE if silent_s < STORE_S else f"has not answered for {silent_s:.0f} s"


def _answer(parts: dict[str, str]) -> Answer:
    return Answer(all(said == FINE for said in parts.values()), parts)
