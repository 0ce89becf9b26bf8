"""What is asked while other questions are being answered waits, and is answered together.

A batch of sixteen costs little more than three questions by themselves. Where there is time nobody waits for a batch to
fill: who comes first is answered at once, with all that wait by then. Where more is asked than can be answered, whoever
would wait too long is sent away at once: an answer that comes too late costs as much as one in time. How long is too
long depends on whether it is a burst, which a queue is for, or goes on, when a queue helps nobody (the controlled delay
of Nichols and Jacobson, "Controlling Queue Delay", 2012, as Facebook's servers have it: Maurer, "Fail at Scale", 2015).
"""

import asyncio
import math
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from graph.storage.errors import BusyError, PenchantError, StoppingError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

LINGER_S = 0.002
"""How long the first of a batch waits for others, where the batch before held more than one: who had an answer just now
asks again, and a question by itself costs as much as three in a batch."""
LATEST = 0.2
"""Weight of the latest full batch in what a question takes; others weigh as much as they hold."""
LASTING = 0.2
"""Of the patience is left once there has been no pause for longer than that patience."""

log = structlog.get_logger("penchant.server")


@dataclass(frozen=True)
class _Asked(Generic[Question, Answer]):
    question: Question
    answered: "asyncio.Future[Answer]"
    loop: asyncio.AbstractEventLoop


class Batcher(Generic[Question, Answer]):
    """One thread, which answers up to `most` questions at a time with `work`, one answer each."""

    def __init__(
        self, work: Callable[[Sequence[Question]], Sequence[Answer]], *, most: int, patience_s: float = math.inf
    ) -> None:
        """patience_s: who would wait longer is sent away; sooner where there was no pause for all that time."""
        self._work = work
        self._most = most
        self._patience_s = patience_s
        self._each_s = 0.0
        """What a question took of late."""
        self._pauses = True
        """There is nothing to answer."""
        self._paused_at = -math.inf
        """When that was so last, seconds."""
        self._waiting: queue.SimpleQueue[_Asked[Question, Answer] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="answer-batches", daemon=True)
        self._stopped = False

    def start(self) -> None:
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """Questions that no batch has taken yet."""
        return self._waiting.qsize()

    async def ask(self, question: Question) -> Answer:
        """Raises what `work` raises. Who is no longer waiting when the turn comes is passed over.

        Raises BusyError for whom it would take too long, StoppingError after `stop`.
        """
        if self._stopped:
            raise StoppingError("The server is stopping.", hint="Ask another, or again later.")
        if self._waiting.qsize() * self._each_s > self._patience_now():
            raise BusyError("More is asked than this server can answer.", hint="Ask again as told, or another server.")
        loop = asyncio.get_running_loop()
        asked = _Asked[Question, Answer](question, loop.create_future(), loop)
        self._waiting.put(asked)
        return await asked.answered

    def _patience_now(self) -> float:
        now = time.monotonic()
        if self._pauses:
            self._paused_at = now
        return self._patience_s * (LASTING if now - self._paused_at > self._patience_s else 1)

    def stop(self) -> None:
        """Returns once everything asked is answered."""
        self._stopped = True
        self._waiting.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        is_busy = False
        while (first := self._next()) is not None:
            batch = [first]
            until = time.monotonic() + (LINGER_S if is_busy else 0.0)
            with suppress(queue.Empty):
                while len(batch) < self._most:
                    asked = self._waiting.get(timeout=max(until - time.monotonic(), 0.0))
                    if asked is None:
                        self._waiting.put(None)  # the end, seen again once these are answered
                        break
                    batch.append(asked)
            is_busy = len(batch) > 1
            self._answer([asked for asked in batch if not asked.answered.done()])

    def _next(self) -> _Asked[Question, Answer] | None:
        if self._waiting.empty():
            self._pauses = True
        first = self._waiting.get()
        if self._pauses:
            self._paused_at, self._pauses = time.monotonic(), False
        return first

    def _answer(self, batch: Sequence[_Asked[Question, Answer]]) -> None:
        if not batch:
            return
        began = time.monotonic()
        try:
            answers = self._work([asked.question for asked in batch])
        except Exception as error:  # whatever it is, those who ask are told, and others are still answered
            if len(batch) > 1 and not isinstance(error, PenchantError):
                log.error("a batch of questions could not be answered, trying each alone", exc_info=error)
                for asked in batch:
                    self._answer([asked])
            else:
                self._tell(batch, [error] * len(batch))
            return
        each_s = (time.monotonic() - began) / len(batch)
        # A question by itself takes as long as three together, and the first of all ten times that.
        self._each_s += LATEST * len(batch) / self._most * (each_s - self._each_s)
        self._tell(batch, answers)

    @staticmethod
    def _tell(batch: Sequence[_Asked[Question, Answer]], answers: "Sequence[Answer | Exception]") -> None:
        """All of one loop at once: waking it is what costs."""

        def tell() -> None:
            for asked, answer in zip(batch, answers, strict=True):
                if asked.answered.done():
                    continue
                if isinstance(answer, Exception):
                    asked.answered.set_exception(answer)
                else:
                    asked.answered.set_result(answer)

        batch[0].loop.call_soon_threadsafe(tell)
