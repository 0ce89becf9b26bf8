"""Pieces of work keep their order, few are held at once, and the first error is the one that is raised."""

import threading
import time
from collections.abc import Iterator

import pytest

from graph.threads import MOST, ahead, in_threads


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


def test_the_next_piece_is_made_while_the_caller_works_and_no_more() -> None:
    made: list[int] = []

    def pieces() -> Iterator[int]:
        for number in range(4):
            made.append(number)
            yield number

    seen = []
    for piece in ahead(pieces()):
        deadline = time.monotonic() + 5
        while len(made) < min(piece + 2, 4) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert made == list(range(min(piece + 2, 4)))
        seen.append(piece)
    assert seen == [0, 1, 2, 3]


def test_what_stops_a_source_reaches_the_caller() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("the file ends here")

    results = ahead(broken())
    assert next(results) == 1
    with pytest.raises(ValueError, match="ends here"):
        next(results)
