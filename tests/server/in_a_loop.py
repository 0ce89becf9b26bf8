"""Tests that are coroutines, each in an event loop of its own."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any


def in_a_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run_it() -> None:
        asyncio.run(asyncio.wait_for(test(), 60))

    return run_it
