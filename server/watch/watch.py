"""Puts together what watches a server, of what the settings ask for; what is off is not there."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from server.batcher import Answer, Batcher, Question
from server.reload import Models
from server.watch.batches import WatchedBatches
from server.watch.calls import Calls
from server.watch.http import WatchServer
from server.watch.metrics import Metrics
from server.watch.probe import RecallProbe
from server.watch.state import State
from server.watch.vitals import Vitals

if TYPE_CHECKING:
    from server.watch.traces import Traces

log = structlog.get_logger("penchant.server")


class Watch:
    """`calls` is for the border, `batches` for what answers them together, `count_events` for whoever writes events."""

    def __init__(self, settings: Settings, version: str) -> None:
        """Raises BadInputError where traces are asked for and cannot be kept."""
        self._listen = settings.metrics_listen
        self._metrics = Metrics() if settings.metrics_listen else None
        self._traces = _traces(settings, version) if settings.otlp_endpoint else None
        self._server: WatchServer | None = None
        self._probe: RecallProbe | None = None
        self.calls = Calls(
            slow_call_ms=settings.slow_call_ms,
            observers=[each.of_method for each in (self._metrics, self._traces) if each],
            unknown=self._metrics.unknown_method if self._metrics else _nothing,
        )
        self.count_events: Callable[[str, int], None] = self._metrics.events if self._metrics else _nothing

    @property
    def port(self) -> int:
        """Of the address for metrics and probes; 0 where there is none."""
        return self._server.port if self._server else 0

    def batches(
        self, work: Callable[[Sequence[Question]], Sequence[Answer]], *, most: int, patience_s: float
    ) -> Batcher[Question, Answer] | WatchedBatches[Question, Answer]:
        if not (self._metrics or self._traces):
            return Batcher(work, most=most, patience_s=patience_s)
        return WatchedBatches(
            work,
            most=most,
            patience_s=patience_s,
            began=self._metrics.batch if self._metrics else _nothing,
            went_through=self._metrics.stage if self._metrics else _nothing,
            answered=self._traces.batch if self._traces else _nothing,
        )

    def bind(self, state: State, vitals: Vitals, models: Models) -> None:
        """Takes the address for metrics and probes, if there is one. Raises BadInputError where it cannot be bound."""
        if self._metrics is None:
            return
        self._metrics.registry.register(state)
        answers = {"/healthz": vitals.alive, "/readyz": vitals.ready}
        self._server = WatchServer(self._listen, self._metrics.registry, answers)
        self._probe = RecallProbe(models, self._metrics.recall_found)

    def start(self) -> None:
        if self._server and self._probe:
            self._server.start()
            log.info("watched", address=f"{self._listen.rpartition(':')[0]}:{self.port}", paths=self._server.paths)
            self._probe.start()

    def stop(self) -> None:
        """After the last call, before what it looks at is closed."""
        if self._server and self._probe:
            self._server.stop()
            self._probe.stop()
        if self._traces:
            self._traces.close()


def _nothing(*_: object) -> None:
    """What is told to nobody."""


def _traces(settings: Settings, version: str) -> "Traces":
    try:
        from server.watch import traces
    except ImportError as error:
        raise BadInputError(
            "Traces need packages that are not installed.", hint="pip install 'penchant[otel]', or unset otlp_endpoint."
        ) from error
    sender = traces.sender_to(settings.otlp_endpoint)
    return traces.Traces(sender, ratio=settings.trace_ratio, version=version)
