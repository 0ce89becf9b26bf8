"""What the files of deploy/ name is there: commands and options, settings, places, ports, services, versions."""

import re
import tomllib
from pathlib import Path
from typing import Any

import dockerfile
import pytest
from penchant import main as penchant_client
from penchant.v1 import event_pb2, server_pb2
from typer.main import get_command

from deploy.compile_loops import COMMANDS
from graph.storage.settings import PREFIX, Settings
from server.cli import app
from tests.deploy.conftest import CHART, DEPLOY, EVERYTHING, GUARDED, ROOT, Render, commented, pods, unit

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
OTHERS = {"secrets", "grafana", "prometheus"}
"""Folders whose files name metrics, which tests/server/watch looks at, or nothing at all."""
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and OTHERS.isdisjoint(path.parts))
PORT = Settings.model_fields["listen"].get_default().rsplit(":", 1)[1]
METRICS_PORT = "9464"
"""By custom that of OpenTelemetry's Prometheus exporters; it is off by default, so no setting has it."""


def understood(words: list[str]) -> None:
    """Parses as the command line does, without running anything. Raises where it would refuse."""
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, list(words))


def value(steps: tuple[dockerfile.Command, ...], name: str) -> tuple[str, ...]:
    (found,) = (step.value for step in steps if step.cmd == name)
    words: tuple[str, ...] = found
    return words


def environment(steps: tuple[dockerfile.Command, ...]) -> dict[str, str]:
    words = value(steps, "ENV")
    return dict(zip(words[::2], words[1::2], strict=True))


def test_an_option_that_is_none_would_be_noticed() -> None:
    with pytest.raises(Exception, match="No such option: --holdout-day"):
        understood(["train", "--holdout-day", "0"])
    with pytest.raises(KeyError, match="upgarde"):
        understood(["db", "upgarde"])


def test_the_image_starts_and_asks_as_the_commands_allow(steps: tuple[dockerfile.Command, ...]) -> None:
    assert value(steps, "ENTRYPOINT") == ("penchant",)
    understood(list(value(steps, "CMD")))
    copied = {step.value[-1]: step.value[0] for step in steps if step.cmd == "COPY"}
    word, program, script = value(steps, "HEALTHCHECK")
    assert (word, program, copied[script]) == ("CMD", "python", "deploy/health.py")
    for command in COMMANDS:
        understood(command.split())


def test_compose_runs_commands_that_there_are(compose: dict[str, Any]) -> None:
    understood(compose["services"]["migrate"]["command"])
    typed = commented("penchant", (DEPLOY / "compose.yaml").read_text("utf-8"))
    assert [words[0] for words in typed] == ["keys", "ingest", "train", "refresh"]
    for words in typed:
        understood(words)


def test_units_run_commands_that_there_are() -> None:
    for name, command in (("penchant.service", "serve"), ("penchant-refresh.service", "refresh")):
        program, *words = dict(unit(name))["ExecStart"].split()
        assert Path(program).name == "penchant"
        assert words[0] == command
        understood(words)


@pytest.mark.network
@pytest.mark.timeout(180)
@pytest.mark.parametrize("changes", [GUARDED, EVERYTHING], ids=["as it is", "everything"])
def test_the_chart_runs_commands_in_places_that_there_are(
    render: Render, steps: tuple[dockerfile.Command, ...], changes: str
) -> None:
    image = environment(steps)
    for pod in pods(render(changes)):
        (container,) = pod["containers"]
        assert container["image"] == f"penchant:{VERSION}"
        understood(container["args"])
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts.get("cache", f"{image['HOME']}/.cache") == f"{image['HOME']}/.cache"
        assert mounts.get("artifacts", "/var/lib/penchant") == str(Path(image["PENCHANT_ARTIFACTS"]).parent)
        said = {each["name"]: each["value"] for each in container["env"]}
        assert said["PENCHANT_SECRETS"] == mounts["secrets"]
        assert said.get("PENCHANT_CONFIG") == mounts.get("settings")
        (secret,) = (volume["secret"] for volume in pod["volumes"] if volume["name"] == "secrets")
        assert [item["path"] for item in secret["items"]] == ["penchant_database_url"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    named = re.findall(rf"\b{PREFIX}([A-Z_]*[A-Z])|\b{PREFIX.lower()}([a-z_]*[a-z])\b", path.read_text("utf-8"))
    for upper, lower in named:
        assert (upper.lower() or lower) in Settings.model_fields


def test_names_of_secrets_are_settings(compose: dict[str, Any]) -> None:
    assert compose["services"]["penchant"]["secrets"] == ["penchant_database_url"]
    for name in ("penchant.service", "penchant-refresh.service"):
        given, _, path = dict(unit(name))["LoadCredential"].partition(":")
        assert given == Path(path).name == "penchant_database_url"


def test_all_speak_of_the_same_two_ports(compose: dict[str, Any], steps: tuple[dockerfile.Command, ...]) -> None:
    assert f"localhost:{PORT}" == penchant_client.DEFAULT_ADDRESS
    assert METRICS_PORT in str(Settings.model_fields["metrics_listen"].description)
    assert value(steps, "EXPOSE") == (PORT, METRICS_PORT)
    assert environment(steps)["PENCHANT_LISTEN"] == f"0.0.0.0:{PORT}"
    assert environment(steps)["PENCHANT_METRICS_LISTEN"] == f"127.0.0.1:{METRICS_PORT}"
    assert compose["services"]["penchant"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    for path in (*FILES, DEPLOY / "prometheus" / "alerts.yml"):
        named = set(re.findall(r"\b(?:50\d{3}|94\d\d)\b", path.read_text("utf-8")))  # whatever looks like one of them
        assert named <= {PORT, METRICS_PORT, "9465"}, path


def test_probes_ask_services_that_there_are() -> None:
    known = {
        f"{module.DESCRIPTOR.package}.{name}"
        for module in (server_pb2, event_pb2)
        for name in module.DESCRIPTOR.services_by_name
    }
    named = {name for path in FILES for name in re.findall(r"penchant\.v1\.\w+", path.read_text("utf-8"))}
    assert named
    assert named <= known


def test_all_speak_of_this_version(compose: dict[str, Any]) -> None:
    chart = (CHART / "Chart.yaml").read_text("utf-8")
    assert f"\nversion: {VERSION}\n" in chart
    assert f'appVersion: "{VERSION}"' in chart
    assert compose["services"]["penchant"]["image"] == f"penchant:${{TAG:-{VERSION}}}"
    assert compose["services"]["penchant"]["image"] == compose["services"]["migrate"]["image"]
    assert f"penchant:{VERSION} " in (DEPLOY / "Dockerfile").read_text("utf-8")
