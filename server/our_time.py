"""The server's deadline, for calls whose callers set none.

All have the same time, so the oldest call is the first that is over: one timer looks at the oldest now and then, where
a timer for each call would cost a tenth of a quick one.
"""

import asyncio
from collections.abc import Awaitable
from typing import Any

from graph.storage.errors import DeadlineError

LOOKS = 20
"""In the time of a call; so much of it may pass unseen."""


class OurTime:
    """Belongs to one event loop."""

    def __init__(self, deadline_ms: float) -> None:
        self._deadline_ms = deadline_ms
        self._until: dict[asyncio.Task[Any], float] = {}
        """When each that runs is over, by the loop's clock, the oldest first."""
        self._over: set[asyncio.Task[Any]] = set()
        """Those that were cancelled for it."""
        self._timer: asyncio.TimerHandle | None = None

    async def give(self, work: Awaitable[Any]) -> Any:
        """What `work` returns or raises. DeadlineError where it takes too long, and then it is cancelled."""
        task = asyncio.current_task()
        assert task is not None
        loop, cancels = task.get_loop(), task.cancelling()
        self._until[task] = loop.time() + self._deadline_ms / 1_000
        if self._timer is None:
            self._look_later(loop)
        try:
            return await work
        except asyncio.CancelledError as error:
            if task not in self._over or task.uncancel() > cancels:  # the caller gave it up
                raise
            raise DeadlineError(
                f"The call was not done within {self._deadline_ms:,} ms.", hint="Set a deadline to wait longer."
            ) from error
        finally:
            self._over.discard(task)
            del self._until[task]

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = loop.call_later(self._deadline_ms / 1_000 / LOOKS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer, now = None, loop.time()
        for task, until in self._until.items():
            if until > now:
                break
            if task not in self._over:
                self._over.add(task)
                task.cancel()
        if self._until:
            self._look_later(loop)
