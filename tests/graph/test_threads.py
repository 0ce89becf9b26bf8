"""Pieces of work keep their order, few are held at once, and the first error is the one that is raised."""

import threading
import time
from collections.abc import Iterator

import pytest

from graph.threads import MOST, in_threads


def test_results_come_in_the_order_of_the_arguments() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number == 0 else 0)
        return number * number

    assert list(in_threads(slow_first, range(50))) == [number * number for number in range(50)]
    assert list(in_threads(slow_first, [])) == []


def test_only_a_few_pieces_are_taken_ahead() -> None:
    taken: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            yield number

    results = in_threads(lambda number: number, pieces())
    assert next(results) == 0
    assert len(taken) <= MOST + 1
    assert list(results) == list(range(1, 100))


def test_an_error_ends_it() -> None:
    begun = threading.Event()

    def piece(number: int) -> int:
        begun.set()
        if number == 1:
            raise ValueError("the second piece")
        return number

    results = in_threads(piece, range(10))
    assert next(results) == 0
    assert begun.is_set()
    with pytest.raises(ValueError, match="the second piece"):
        list(results)
