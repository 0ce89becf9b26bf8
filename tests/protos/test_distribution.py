"""What `pip install penchant-client` brings: what it promises, never torch, and it works with the oldest promised."""

import json
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

PROTOS = Path(__file__).parents[2] / "protos"
SMOKE = Path(__file__).with_name("smoke.py")
PROJECT = tomllib.loads((PROTOS / "pyproject.toml").read_text("utf-8"))["project"]
PROMISED = {"penchant-client", "grpcio", "protobuf", "googleapis-common-protos", "numpy"}
WHAT_THESE_REQUIRE = {"typing-extensions"}

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A copy of the source to install from, since pip builds inside the folder that it is given."""
    copy = tmp_path / "protos"
    shutil.copytree(PROTOS, copy, ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__"))
    return copy


class Environment:
    """An empty virtual environment."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.bin = folder / "bin"

    def run(self, program: str, *arguments: str | Path) -> str:
        run = subprocess.run(
            [self.bin / program, *arguments], cwd=self.bin, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
        return run.stdout

    def packages(self) -> dict[str, str]:
        """Version of each package but pip's own, by normalised name."""
        rows = json.loads(self.run("python", "-m", "pip", "list", "--format", "json"))
        found = {row["name"].lower().replace("_", "-"): row["version"] for row in rows}
        return {name: version for name, version in found.items() if name not in {"pip", "setuptools"}}


def test_an_empty_environment_gets_what_is_promised_and_works(tmp_path: Path, source: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.run("python", "-m", "pip", "install", "--quiet", source)
    installed = set(environment.packages())
    assert installed >= PROMISED
    assert installed - PROMISED <= WHAT_THESE_REQUIRE
    environment.run("python", "-W", "error", SMOKE)
    assert "Recommend" in environment.run("penchant-client", "call", "--help")
    shipped = {path.name for path in (tmp_path / "venv").rglob("penchant/**/*")}
    assert {"py.typed", "interest.proto", "interest_pb2.pyi"} <= shipped


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest versions have wheels for Python 3.11 alone")
def test_the_oldest_versions_promised_work(tmp_path: Path, source: Path) -> None:
    bounds = [
        *PROJECT["dependencies"],
        *(line for lines in PROJECT["optional-dependencies"].values() for line in lines),
    ]
    oldest = {line.split(",")[0].replace(">=", "==") for line in bounds}
    constraints = tmp_path / "oldest.txt"
    constraints.write_text("\n".join(sorted(oldest)))
    environment = Environment(tmp_path / "venv")
    environment.run(
        *("python", "-m", "pip", "install", "--quiet", "--constraint", constraints),
        f"{source}[arrow,pandas,polars]",
    )
    installed = environment.packages()
    for line in oldest:
        name, version = line.split("==")
        assert installed[name] == version or installed[name] == f"{version}.0"
    environment.run("python", "-W", "error", SMOKE, "tables")
