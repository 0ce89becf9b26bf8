"""What is counted while calls are answered, for Prometheus: rate, errors and durations of calls, batches, events.

Labels are few and their values come from our own code, never from a caller; no metric names a user or an item. A method
keeps its label children at hand, for looking them up costs more than counting.

All of it is of one process. Workers each have a port of their own and are scraped as instances of one job, told apart
by Prometheus' own `instance` label. The client library's multiprocess mode (files shared by workers, added up at each
scrape) would lose what is read at the time of a scrape (state.py) and the process metrics, and could not say which
worker is stuck.
"""

from collections.abc import Callable, Sequence

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics

from server.watch.call import Call
from server.watch.stages import Stage, tell_stages
from training.fast.answer import BATCH

UNKNOWN_METHOD = "unknown"
"""Stands for all methods that there are not: names that callers make up would be series without end."""
_ALWAYS = (grpc.StatusCode.OK, grpc.StatusCode.INTERNAL)
_CALL_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_WAIT_S = (0.00025, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)


class Metrics:
    """A registry of its own, so that two servers in one process do not count each other's calls."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each that nobody looks at
        self.registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self.registry)
        self._durations = Histogram(
            "penchant_rpc_duration_seconds",
            "Calls by how they ended and how long they took; streams until their end.",
            ("method", "code"),
            buckets=_CALL_S,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "penchant_rpc_in_flight", "Calls that have begun and not ended.", ("method",), registry=self.registry
        )
        self._batch_calls = Histogram(
            "penchant_batch_calls",
            "Calls that were answered together.",
            buckets=[2**power for power in range(BATCH.bit_length())],
            registry=self.registry,
        )
        self._batch_waits = Histogram(
            "penchant_batch_wait_seconds",
            "How long a question waited for its batch to begin.",
            buckets=_WAIT_S,
            registry=self.registry,
        )
        stages = Histogram(
            "penchant_stage_duration_seconds",
            "What takes the time of an answer: reading the store, the model; of a batch once for all its calls.",
            ("stage",),
            buckets=_WAIT_S,
            registry=self.registry,
        )
        self._stages = {name: stages.labels(name) for name in ("store", "model")}
        self._events = Counter(
            "penchant_events", "Rows of events by what became of them.", ("outcome",), registry=self.registry
        )
        self._recall = Gauge(
            "penchant_index_recall",
            "Share of the exact nearest 100 that the index finds, at the last probe.",
            ("index",),
            registry=self.registry,
        )

    def of_method(self, method: str) -> "MethodMetrics":
        return MethodMetrics(method, self._durations, self._in_flight, self.stage)

    def unknown_method(self) -> None:
        self._durations.labels(UNKNOWN_METHOD, grpc.StatusCode.UNIMPLEMENTED.name).observe(0)

    def stage(self, stage: Stage) -> None:
        self._stages[stage.name].observe(stage.seconds)

    def batch(self, waits_s: Sequence[float]) -> None:
        """A batch has begun, whose questions have waited so long, seconds."""
        self._batch_calls.observe(len(waits_s))
        for wait_s in waits_s:
            self._batch_waits.observe(wait_s)

    def events(self, outcome: str, rows: int) -> None:
        self._events.labels(outcome).inc(rows)

    def recall_found(self, index: str, recall: float) -> None:
        self._recall.labels(index).set(recall)


class MethodMetrics:
    """Observer of the calls of one method."""

    def __init__(self, method: str, durations: Histogram, in_flight: Gauge, stage: Callable[[Stage], None]) -> None:
        self._stage = stage
        self._method = method
        self._all_durations = durations
        # At 0 from the first call on: the first bug would else be no increase of anything.
        self._durations = {code: durations.labels(method, code.name) for code in _ALWAYS}
        self._in_flight = in_flight.labels(method)

    def begun(self, call: Call) -> None:
        self._in_flight.inc()
        tell_stages(self._stage)

    def ended(self, call: Call, code: grpc.StatusCode, elapsed_s: float) -> None:
        self._in_flight.dec()
        if (durations := self._durations.get(code)) is None:
            durations = self._durations[code] = self._all_durations.labels(self._method, code.name)
        durations.observe(elapsed_s)
