"""An open loop: calls come when they come, whether or not those before have their answers."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.serving.closed import Question

OK = grpc.StatusCode.OK.name


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Of n calls: when each was due, seconds from the start, its latency from then on, milliseconds, and its code."""

    due_s: NDArray[np.float64]
    latency_ms: NDArray[np.float64]
    code: NDArray[np.str_]

    def between(self, begin_s: float, end_s: float) -> "Arrivals":
        """Those due in [begin, end)."""
        chosen = (self.due_s >= begin_s) & (self.due_s < end_s)
        return Arrivals(self.due_s[chosen], self.latency_ms[chosen], self.code[chosen])

    def answered(self) -> "Arrivals":
        chosen = self.code == OK
        return Arrivals(self.due_s[chosen], self.latency_ms[chosen], self.code[chosen])

    def percentile_ms(self, q: float) -> float:
        return float(np.percentile(self.latency_ms, q)) if len(self.latency_ms) else float("nan")


def arrive(
    target: str, question: Question, *, per_s: float, seconds: float, deadline_s: float, each_second: Callable[[], None]
) -> Arrivals:
    """Calls at random moments, `per_s` of them a second; `each_second` is called once a second meanwhile."""
    return uvloop.run(_arrive(target, question, per_s, seconds, deadline_s, each_second))


async def _arrive(
    target: str, question: Question, per_s: float, seconds: float, deadline_s: float, each_second: Callable[[], None]
) -> Arrivals:
    chance = np.random.default_rng(0)
    due = np.cumsum(chance.exponential(1 / per_s, round(per_s * seconds)))
    latency, code = np.zeros(len(due)), np.empty(len(due), "U32")
    async with grpc.aio.insecure_channel(target) as channel:
        rpc: Any = channel.unary_unary(
            question.method,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=question.answer,
        )
        began = time.perf_counter()

        async def call(row: int) -> None:
            try:
                await rpc(question.requests[row % len(question.requests)], timeout=deadline_s)
                code[row] = OK
            except grpc.RpcError as error:
                code[row] = error.code().name
            latency[row] = (time.perf_counter() - began - due[row]) * 1_000

        async def tick() -> None:
            while True:
                each_second()
                await asyncio.sleep(1)

        ticking = asyncio.create_task(tick())
        async with asyncio.TaskGroup() as calls:
            for row, moment in enumerate(due.tolist()):
                if (ahead := moment - (time.perf_counter() - began)) > 0:
                    await asyncio.sleep(ahead)
                calls.create_task(call(row))
        ticking.cancel()
    return Arrivals(due, latency, code)
