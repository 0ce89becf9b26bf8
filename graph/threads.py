"""Work on several cores at once: numpy and scipy let go of Python's lock while they compute."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

A = TypeVar("A")
R = TypeVar("R")

MOST = 8
"""Pieces at work at once, whatever the machine: each of them holds memory."""


def cores() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[A], R], arguments: Iterable[A]) -> Iterator[R]:
    """`map(function, arguments)` in the same order, on as many cores as the process may use, a few pieces ahead.

    The function must not depend on what another piece does. The first error ends it, when the pieces begun have ended.
    """
    workers = min(MOST, cores())
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[R]] = deque()
        for argument in arguments:
            waiting.append(pool.submit(function, argument))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def ahead(pieces: Iterable[R]) -> Iterator[R]:
    """`pieces` in the same order, the next one being made in a thread while the caller works on the last."""
    source = iter(pieces)
    end = object()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, source, end)
        while (piece := waiting.result()) is not end:
            waiting = pool.submit(next, source, end)
            yield piece  # type: ignore[misc]  # a piece, for it is not the end
