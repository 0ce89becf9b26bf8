"""The server's own deadline: over is over, a caller's cancelling stays one, and nothing is left of what is done."""

import asyncio

import pytest

from graph.storage.errors import DeadlineError
from server.our_time import OurTime
from tests.server.in_a_loop import in_a_loop


@in_a_loop
async def test_what_takes_too_long_is_cancelled_and_told() -> None:
    ours, cancelled = OurTime(20), []

    async def slow() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    for _ in range(2):
        with pytest.raises(DeadlineError, match="20 ms"):
            await ours.give(slow())
    assert cancelled == [True, True]
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()  # the task goes on, as the border has the error to send


@in_a_loop
async def test_many_at_once_each_have_their_time() -> None:
    ours = OurTime(50)
    slow = [asyncio.create_task(ours.give(asyncio.sleep(60))) for _ in range(3)]
    quick = [asyncio.create_task(ours.give(asyncio.sleep(0, result=n))) for n in range(3)]
    found = await asyncio.gather(*slow, *quick, return_exceptions=True)
    assert [type(one) for one in found[:3]] == [DeadlineError] * 3
    assert found[3:] == [0, 1, 2]
    assert not ours._until
    assert not ours._over


@in_a_loop
async def test_who_gives_up_is_no_deadline() -> None:
    ours = OurTime(60_000)
    task = asyncio.create_task(ours.give(asyncio.sleep(60)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ours._until


@in_a_loop
async def test_an_error_of_the_work_is_its_own() -> None:
    async def broken() -> None:
        raise TimeoutError("the store's")

    with pytest.raises(TimeoutError, match="the store's"):
        await OurTime(60_000).give(broken())
