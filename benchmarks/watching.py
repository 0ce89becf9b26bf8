"""What watching costs a call: python -m benchmarks.watching. Processor time of its thread, without gRPC and any work.

A batch's own metrics are counted by the call: what one of a full batch pays.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from rich.console import Console
from rich.table import Table

from server.logs import set_up_logging
from server.watch.calls import Calls
from server.watch.metrics import Metrics
from server.watch.traces import Traces
from training.fast.answer import BATCH

CALLS = 20_000
METHOD = "/penchant.v1.InterestService/Score"


class Context:
    """Of a call of a Python client that brings no id and no trace."""

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("user-agent", "grpc-python/1.71.0 grpc-c/46.0.0 (linux; chttp2)"),)


class Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS


async def answer(request: object, context: object) -> None:
    """Nothing."""


def call_us(guard: Callable[..., Any]) -> float:
    """Of the fastest of nine rounds."""

    async def ask() -> float:
        context = Context()
        begun = time.thread_time()
        for _ in range(CALLS):
            await asyncio.create_task(guard(None, context))  # a task each, with a context of its own, as gRPC has it
        return (time.thread_time() - begun) / CALLS * 1e6

    return min(asyncio.run(ask()) for _ in range(9))


def batch_us() -> float:
    metrics = Metrics()
    waits = [0.001] * BATCH
    rounds = []
    for _ in range(5):
        begun = time.thread_time()
        for _ in range(CALLS // BATCH):
            metrics.batch(waits)
        rounds.append((time.thread_time() - begun) / CALLS * 1e6)
    return min(rounds)


def main() -> None:
    set_up_logging("INFO")  # as `penchant serve` does

    def traces(ratio: float) -> Traces:
        return Traces(BatchSpanProcessor(Nowhere()), ratio=ratio, version="0")

    watched = {
        "off: log and request id alone": Calls(slow_call_ms=10_000),
        "metrics": Calls(slow_call_ms=10_000, observers=[Metrics().of_method]),
        "traces, this call not sampled": Calls(slow_call_ms=10_000, observers=[traces(0).of_method]),
        "traces, this call sampled": Calls(slow_call_ms=10_000, observers=[traces(1).of_method]),
    }
    table = Table("what watches", "us a call")
    bare = call_us(answer)
    for name, calls in watched.items():
        table.add_row(name, f"{call_us(calls.unary(METHOD, answer)) - bare:.1f}")
    table.add_row("metrics, of a batch", f"{batch_us():.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
