"""Batches of questions: together where they wait, each its own answer, nobody takes another along."""

import asyncio
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from graph.storage.errors import BusyError, StoppingError, StoreUnavailableError
from server.batcher import Batcher
from tests.server.in_a_loop import in_a_loop


class Work:
    """Doubles numbers, batch by batch, once it may; refuses what it is told to."""

    def __init__(self, refused: Exception | None = None) -> None:
        self.batches: list[list[int]] = []
        self.may = threading.Event()
        self.begun = threading.Event()
        self._refused = refused

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.begun.set()
        assert self.may.wait(30)
        self.batches.append(list(questions))
        if self._refused and 13 in questions:
            raise self._refused
        return [2 * question for question in questions]


@contextmanager
def batcher(work: Work, most: int = 4, patience_s: float = math.inf) -> Iterator[Batcher[int, int]]:
    found = Batcher(work, most=most, patience_s=patience_s)
    found.start()
    try:
        yield found
    finally:
        work.may.set()
        found.stop()


async def asked_behind(found: Batcher[int, int], work: Work, questions: Sequence[int]) -> list["asyncio.Task[int]"]:
    """The first question is being answered while the others wait."""
    tasks = []
    for place, question in enumerate(questions):
        tasks.append(asyncio.create_task(found.ask(question)))
        await asyncio.sleep(0)
        if place == 0:
            await asyncio.to_thread(work.begun.wait, 30)
    return tasks


@in_a_loop
async def test_what_waits_is_answered_together_and_no_more_than_fit() -> None:
    work = Work()
    with batcher(work) as found:
        tasks = await asked_behind(found, work, [1, 2, 3, 4, 5, 6, 7])
        work.may.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10, 12, 14]
    assert work.batches == [[1], [2, 3, 4, 5], [6, 7]]


@in_a_loop
async def test_who_is_gone_is_passed_over() -> None:
    work = Work()
    with batcher(work) as found:
        tasks = await asked_behind(found, work, [1, 2, 3])
        tasks[1].cancel()
        await asyncio.sleep(0)
        work.may.set()
        assert await tasks[2] == 6
    assert work.batches == [[1], [3]]


@in_a_loop
async def test_a_question_that_breaks_the_work_breaks_it_for_itself_alone() -> None:
    work = Work(ZeroDivisionError("a bug"))
    with batcher(work) as found:
        tasks = await asked_behind(found, work, [1, 2, 13, 3])
        work.may.set()
        found_out = await asyncio.gather(*tasks, return_exceptions=True)
    assert found_out[:2] == [2, 4]
    assert isinstance(found_out[2], ZeroDivisionError)
    assert found_out[3] == 6


@in_a_loop
async def test_a_store_that_is_away_is_told_to_all_and_the_next_are_answered() -> None:
    work = Work(StoreUnavailableError("away"))
    with batcher(work) as found:
        tasks = await asked_behind(found, work, [1, 2, 13])
        work.may.set()
        found_out = await asyncio.gather(*tasks, return_exceptions=True)
        assert found_out[0] == 2
        assert all(isinstance(one, StoreUnavailableError) for one in found_out[1:])
        assert work.batches == [[1], [2, 13]]  # nobody asks a store that is away once more for each
        assert await found.ask(5) == 10


@in_a_loop
async def test_who_would_wait_too_long_is_sent_away_and_later_ones_are_answered() -> None:
    work = Work()
    found: Batcher[int, int] = Batcher(work, most=1, patience_s=1.0)
    found.start()
    work.may.set()
    assert await found.ask(1) == 2
    found._each_s = 0.3  # as if it had taken so long
    work.may.clear()
    work.begun.clear()
    tasks = await asked_behind(found, work, [2, 3, 4, 5, 6])  # four wait: 1.2 s
    with pytest.raises(BusyError):
        await found.ask(7)
    work.may.set()
    assert await asyncio.gather(*tasks) == [4, 6, 8, 10, 12]
    assert found._each_s < 0.3
    assert await found.ask(8) == 16
    found.stop()


@in_a_loop
async def test_a_burst_may_wait_but_where_the_queue_stays_fewer_are_let_in() -> None:
    work = Work()
    with batcher(work, most=1, patience_s=2.0) as found:
        found._each_s = 0.5
        tasks = await asked_behind(found, work, [1, 2, 3])
        await asyncio.sleep(2.1)  # for all that time somebody waits
        with pytest.raises(BusyError):
            await found.ask(4)  # behind two: a second
        work.may.set()
        assert await asyncio.gather(*tasks) == [2, 4, 6]
        assert await found.ask(5) == 10  # the queue is gone
        found._each_s = 0.5
        work.may.clear()
        work.begun.clear()
        tasks = await asked_behind(found, work, [6, 7, 8, 9])  # as many as before are a burst again
        work.may.set()
        assert await asyncio.gather(*tasks) == [12, 14, 16, 18]


@in_a_loop
async def test_the_first_answer_of_all_takes_its_time_and_nobody_is_sent_away() -> None:
    """It maps files and compiles; one slow question by itself says nothing of those that are answered together."""
    work = Work()
    with batcher(work, most=32, patience_s=0.25) as found:
        first = await asked_behind(found, work, [0])
        await asyncio.sleep(0.5)
        work.may.set()
        await asyncio.gather(*first)
        work.may.clear()
        work.begun.clear()
        tasks = await asked_behind(found, work, range(1, 17))
        work.may.set()
        assert await asyncio.gather(*tasks) == [2 * question for question in range(1, 17)]


@in_a_loop
async def test_after_the_stop_nobody_waits_for_ever() -> None:
    work = Work()
    with batcher(work) as found:
        tasks = await asked_behind(found, work, [1, 2])
        work.may.set()
        await asyncio.to_thread(found.stop)
        assert await asyncio.gather(*tasks) == [2, 4]
        with pytest.raises(StoppingError):
            await found.ask(3)
