"""Dashboard, alert rules and the page for admins name what a running server has, and all of it is explained."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.watch.conftest import Watched

ROOT = Path(__file__).parents[3]
DASHBOARD = ROOT / "deploy" / "grafana" / "penchant.json"
ALERTS = ROOT / "deploy" / "prometheus" / "alerts.yml"
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

GIVEN_BY_PROMETHEUS = {"up"}
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset"}
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "info": ("_info",)}


def names_in(expression: str) -> set[str]:
    """The metrics of a PromQL expression: names that are neither called, nor labels, nor words of the language."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)  # matchers, ranges, strings
    bare = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", bare)
    found = re.findall(r"(?<![\w.$])([a-zA-Z_:][\w:]*)\b(?!\s*\()", bare)
    return {name for name in found if name not in _WORDS}


def test_names_are_found_in_promql() -> None:
    assert names_in('sum by (a, b) (rate(x_total{code!="OK", m=~"a|b"}[5m])) / on (a) y_seconds > 2 * 86400') == {
        "x_total",
        "y_seconds",
    }
    assert names_in("time() - max(z) and w offset 5m") >= {"z", "w"}
    assert names_in("histogram_quantile(0.99, sum by (le) (rate(h_bucket[$__rate_interval])))") == {"h_bucket"}


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return made


@pytest.fixture(scope="module")
def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def exposed(watched: "Watched") -> dict[str, str]:
    """Type by name, as the server's answer says it."""
    text = watched.get("/metrics")[1]
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, flags=re.MULTILINE))


def series(types: dict[str, str]) -> set[str]:
    """The names that an expression may use."""
    return {name + suffix for name, kind in types.items() for suffix in ("", *_SUFFIXES.get(kind, ()))}


def expressions_of(part: Any) -> "Iterator[str]":
    """Every query in a dashboard, wherever it stands."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("expr", "definition") and isinstance(value, str):
                yield re.sub(r"label_values\((.*), \w+\)", r"\1", value)
            yield from expressions_of(value)
    elif isinstance(part, list):
        for value in part:
            yield from expressions_of(value)


def test_every_metric_of_the_dashboard_is_there(watched: "Watched", dashboard: dict[str, Any]) -> None:
    asked = [(text, names_in(text)) for text in expressions_of(dashboard)]
    there = series(exposed(watched))
    assert len(asked) > 30
    for text, names in asked:
        assert names, text
        assert names <= there, text


def test_every_metric_of_the_alerts_is_there(watched: "Watched", alerts: list[dict[str, Any]]) -> None:
    there = series(exposed(watched)) | GIVEN_BY_PROMETHEUS
    for alert in alerts:
        names = names_in(alert["expr"])
        assert names, alert["alert"]
        assert names <= there, alert["alert"]


def test_the_page_lists_every_metric_with_its_type_and_no_other(watched: "Watched") -> None:
    table = PAGE.split("<!-- metrics -->")[1].split("<!-- /metrics -->")[0]
    listed = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", table, flags=re.MULTILINE))
    assert listed == exposed(watched)


def test_every_label_value_that_the_files_ask_for_can_occur(
    dashboard: dict[str, Any], alerts: list[dict[str, Any]]
) -> None:
    import grpc

    from graph.storage.outcomes import Outcome

    known = {
        "code": {code.name for code in grpc.StatusCode},
        "outcome": {outcome.value for outcome in Outcome} | {"unreadable"},
        "stage": {"store", "model"},
    }
    texts = [*expressions_of(dashboard), *(alert["expr"] for alert in alerts)]
    asked = [pair for text in texts for pair in re.findall(r"\b(code|outcome|stage)[=!]~?\"([^\"]+)\"", text)]
    assert {label for label, _ in asked} == set(known)
    for label, values in asked:
        assert set(values.split("|")) <= known[label]


def test_panels_say_what_they_show(dashboard: dict[str, Any]) -> None:
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    rows = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    assert rows == ["Traffic", "Latency", "Batches", "Model", "Store", "Events", "Process"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    for panel in panels:
        assert panel["title"], panel
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


def test_panels_do_not_lie_on_each_other(dashboard: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert taken.isdisjoint(cells), panel["title"]
        taken |= cells


def test_every_alert_has_its_entry_in_the_runbook(alerts: list[dict[str, Any]]) -> None:
    runbook = PAGE.split("\n## Runbook\n")[1].split("\n## ")[0]
    entries = dict(re.findall(r"^### (\w+)\n\n(.*?)(?=\n### |\Z)", runbook, flags=re.MULTILINE | re.DOTALL))
    assert set(entries) == {alert["alert"] for alert in alerts}
    for alert in alerts:
        name, entry = alert["alert"], entries[alert["alert"]]
        meaning, _, rest = entry.partition("\nLook at: ")
        looks, _, does = rest.partition("\nDo: ")
        assert min(len(meaning), len(looks), len(does.strip())) > 20, name
        assert alert["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
        assert alert["annotations"]["summary"].endswith("."), name
        assert alert["labels"]["severity"] in ("page", "ticket"), name


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool comes with Prometheus, which is not installed")
def test_prometheus_takes_the_rules() -> None:
    checked = subprocess.run(["promtool", "check", "rules", ALERTS], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
