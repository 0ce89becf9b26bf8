"""The parts of an answer that take its time: the store is read, the model computes.

Whoever wants to know how long they take says so for a context, which a call's own thread and the thread of batches
have. Where nobody does, a stage costs one look at a variable.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import NamedTuple, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Stage(NamedTuple):
    """The time [begun_ns, ended_ns), nanoseconds since the epoch."""

    name: str
    begun_ns: int
    ended_ns: int

    @property
    def seconds(self) -> float:
        return max(0, self.ended_ns - self.begun_ns) / 1e9


_told: "ContextVar[tuple[Callable[[Stage], None], ...]]" = ContextVar("told", default=())


def staged(name: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Makes a function a stage of whatever answer it is called for; one that fails is told as well."""

    def decorate(work: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(work)
        def timed(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
            if not (told := _told.get()):
                return work(*arguments, **named)
            begun_ns = time.time_ns()
            try:
                return work(*arguments, **named)
            finally:
                stage = Stage(name, begun_ns, time.time_ns())
                for each in told:
                    each(stage)

        return timed

    return decorate


def tell_stages(told: Callable[[Stage], None]) -> None:
    """From here on in this context: `told` is called, too, at the end of each stage, in the thread that it was in."""
    _told.set((*_told.get(), told))


@contextmanager
def stages_told(told: Callable[[Stage], None]) -> Iterator[None]:
    """The same within a block."""
    before = _told.set((*_told.get(), told))
    try:
        yield
    finally:
        _told.reset(before)
