"""Threads that go on with the context of whoever gives them work, so that its log lines still name the call."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class ContextThreads(ThreadPoolExecutor):
    """`asyncio.to_thread` takes the context along, `run_in_executor` does not: here both do."""

    def submit(
        self, work: Callable[Arguments, Result], /, *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> "Future[Result]":
        return super().submit(copy_context().run, partial(work, *arguments, **named))
