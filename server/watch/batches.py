"""Batches seen from outside: how many calls each holds, how long they waited, and which stages it went through.

One reading of the store and one computation serve all calls of a batch. So a stage is counted once a batch; in a trace
each call of the batch that keeps one has the stages as children of its own, with the same times and the number of calls
that shared them. Links between the calls would say no more and grow with the square of the batch.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic

from server.batcher import Answer, Batcher, Question
from server.watch.call import Call, current_call
from server.watch.stages import Stage, stages_told


@dataclass
class Batch:
    """`stages` are added as they end."""

    calls: int
    begun_ns: int
    stages: list[Stage] = field(default_factory=list)


@dataclass
class _Watched(Generic[Question]):
    question: Question
    asked_ns: int
    batch: Batch | None = None
    """None until its turn comes."""


class WatchedBatches(Generic[Question, Answer]):
    """A Batcher in all that its users see."""

    def __init__(
        self,
        work: Callable[[Sequence[Question]], Sequence[Answer]],
        *,
        most: int,
        patience_s: float,
        began: Callable[[Sequence[float]], None],
        went_through: Callable[[Stage], None],
        answered: Callable[[Call, int, Batch], None],
    ) -> None:
        """`began` is told how long each question of a batch waited, seconds; `went_through` of every stage of a batch;
        both in the thread of batches. `answered` is told by each call when it asked (ns) and in which batch it was.
        """
        self._work = work
        self._began = began
        self._went_through = went_through
        self._answered = answered
        self._batcher: Batcher[_Watched[Question], Answer] = Batcher(self._together, most=most, patience_s=patience_s)

    def start(self) -> None:
        self._batcher.start()

    def stop(self) -> None:
        self._batcher.stop()

    @property
    def waiting(self) -> int:
        return self._batcher.waiting

    @property
    def is_alive(self) -> bool:
        return self._batcher.is_alive

    async def ask(self, question: Question) -> Answer:
        watched = _Watched(question, time.time_ns())
        try:
            return await self._batcher.ask(watched)
        finally:
            call = current_call()
            if call is not None and watched.batch is not None:
                self._answered(call, watched.asked_ns, watched.batch)

    def _together(self, watched: Sequence[_Watched[Question]]) -> Sequence[Answer]:
        batch = Batch(len(watched), time.time_ns())
        for each in watched:
            each.batch = batch
        self._began([max(0, batch.begun_ns - each.asked_ns) / 1e9 for each in watched])

        def told(stage: Stage) -> None:
            batch.stages.append(stage)
            self._went_through(stage)

        with stages_told(told):
            return self._work([each.question for each in watched])
