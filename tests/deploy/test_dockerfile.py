"""The Dockerfile passes its linter and holds what production asks for, whatever else changes."""

import subprocess
import sys
import tomllib
from pathlib import Path

import dockerfile

from tests.deploy.conftest import DEPLOY, ROOT

HADOLINT = Path(sys.executable).with_name("hadolint")


def values(steps: tuple[dockerfile.Command, ...], name: str) -> list[tuple[str, ...]]:
    return [step.value for step in steps if step.cmd == name]


def test_its_linter_finds_nothing() -> None:
    run = subprocess.run([HADOLINT, DEPLOY / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


def test_every_package_of_the_distribution_is_copied(steps: tuple[dockerfile.Command, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    copied = {source for value in values(steps, "COPY") for source in value[:-1]}
    assert copied >= packages | {"protos", "pyproject.toml", "constraints.txt", "README.md"}
    for source in copied - {"/opt/penchant"}:
        assert (ROOT / source).exists()


def test_it_stops_by_a_signal_and_runs_as_nobody_special(steps: tuple[dockerfile.Command, ...]) -> None:
    assert values(steps, "STOPSIGNAL") == [("SIGTERM",)]
    assert values(steps, "USER") == [("10001:10001",)]
    assert values(steps, "ENTRYPOINT") == [("penchant",)]


def test_indexes_of_packages_are_arguments_and_none_of_the_image(steps: tuple[dockerfile.Command, ...]) -> None:
    last = max(number for number, step in enumerate(steps) if step.cmd == "FROM")
    arguments = {step.value[0].partition("=")[0] for step in steps[:last] if step.cmd == "ARG"}
    assert {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"} <= arguments
    assert not any(step.value[0].startswith("PIP_") for step in steps[last:] if step.cmd == "ARG")
    assert "://" not in (DEPLOY / "Dockerfile").read_text("utf-8")
