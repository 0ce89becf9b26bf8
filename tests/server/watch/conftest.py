"""One watched server in this process, its spans kept in memory; and what its address over HTTP says."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from penchant.client import PenchantClient
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from server.app import App, start
from server.watch import traces

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.conftest import World

WATCHED = {"metrics_listen": "127.0.0.1:0", "otlp_endpoint": "http://in-memory", "trace_ratio": 0.0}


@dataclass(frozen=True)
class Watched:
    app: App
    target: str
    client: PenchantClient
    spans: InMemorySpanExporter

    def get(self, path: str) -> tuple[int, str]:
        return get(self.app, path)

    def metrics(self) -> dict[str, Metric]:
        """By the name of the family, as Prometheus reads them."""
        return {each.name: each for each in text_string_to_metric_families(self.get("/metrics")[1])}

    def sample(self, name: str, **labels: str) -> float:
        """The value of one series, 0 where there is none."""
        samples = [one for family in self.metrics().values() for one in family.samples]
        return sum(one.value for one in samples if one.name == name and labels.items() <= one.labels.items())


def get(app: App, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{app.watch_port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture(scope="session")
def asked_of() -> Callable[[App, str], tuple[int, dict[str, Any]]]:
    """What a probe gets: the status, and what is said of each part."""

    def ask(app: App, path: str) -> tuple[int, dict[str, Any]]:
        status, body = get(app, path)
        return status, json.loads(body)

    return ask


@pytest.fixture(scope="session")
def watched(copy_world: "Callable[[Path], World]", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """For tests that neither stop it nor change what it serves."""
    spans = InMemorySpanExporter()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(traces, "sender_to", lambda endpoint: SimpleSpanProcessor(spans))
        settings = copy_world(tmp_path_factory.mktemp("watched")).settings()
        app = start(settings.model_copy(update=WATCHED))
    target = f"127.0.0.1:{app.port}"
    with PenchantClient(target, deadline_ms=30_000, retries=0) as client:
        yield Watched(app, target, client, spans)
    app.stop(0)
