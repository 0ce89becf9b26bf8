"""A closed loop over one channel: each caller asks again as soon as it has its answer."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import grpc
import numpy as np
import uvloop
from google.protobuf.message import Message


@dataclass(frozen=True)
class Question:
    """What is asked: the rpc's full name, the requests in turn, and how its answers are read."""

    name: str
    method: str
    requests: Sequence[Message]
    answer: Callable[[bytes], Any]
    serve: tuple[str, ...] = ()
    """How the server is started that is asked."""


@dataclass(frozen=True)
class Measured:
    """Of one stretch of time. Latencies are the callers' own, in milliseconds."""

    per_s: float
    p50_ms: float
    p99_ms: float
    calls: int


def ask(target: str, question: Question, *, callers: int, seconds: float, warm_s: float) -> Measured:
    """Raises grpc.RpcError as soon as one call fails."""
    return uvloop.run(_ask(target, question, callers, seconds, warm_s))


async def _ask(target: str, question: Question, callers: int, seconds: float, warm_s: float) -> Measured:
    turn = count()
    waits: list[float] = []
    async with grpc.aio.insecure_channel(target) as channel:
        rpc: Any = channel.unary_unary(
            question.method,
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=question.answer,
        )
        began = time.perf_counter() + warm_s
        ends = began + seconds

        async def caller() -> None:
            while (asked := time.perf_counter()) < ends:
                await rpc(question.requests[next(turn) % len(question.requests)])
                if asked >= began:
                    waits.append(time.perf_counter() - asked)

        await asyncio.gather(*(caller() for _ in range(callers)))
        taken_s = time.perf_counter() - began
    p50, p99 = np.percentile(np.array(waits) * 1_000, [50, 99])
    return Measured(len(waits) / taken_s, float(p50), float(p99), len(waits))
