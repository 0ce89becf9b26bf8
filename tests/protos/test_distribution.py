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


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution, built from a copy of the source since pip builds inside the folder that it is given."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = shutil.copytree(
        PROTOS, folder / "protos", ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__")
    )
    _pip("wheel", "--no-deps", "--wheel-dir", folder, copy)
    return next(folder.glob("*.whl"))


class Environment:
    """An empty virtual environment, without even pip."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.bin = folder / "bin"

    def run(self, program: str, *arguments: str | Path) -> str:
        return _run(self.bin / program, *arguments, cwd=self.bin)

    def install(self, *arguments: str | Path) -> dict[str, str]:
        """Installs, then lists everything that is installed: versions by normalised name."""
        _pip("--python", self.bin / "python", "install", "--no-compile", *arguments)
        rows = json.loads(_pip("--python", self.bin / "python", "list", "--format", "json"))
        return {row["name"].lower().replace("_", "-"): row["version"] for row in rows}


def _pip(*arguments: str | Path) -> str:
    return _run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


def _run(*command: str | Path, cwd: Path | None = None) -> str:
    run = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_an_empty_environment_gets_what_is_promised_and_works(tmp_path: Path, wheel: Path) -> None:
    environment = Environment(tmp_path / "venv")
    installed = set(environment.install(wheel))
    assert installed >= PROMISED
    assert installed - PROMISED <= WHAT_THESE_REQUIRE
    environment.run("python", "-W", "error", SMOKE)
    assert "Recommend" in environment.run("penchant-client", "call", "--help")
    shipped = {path.name for path in tmp_path.glob("venv/lib/*/site-packages/penchant/**/*")}
    assert {"py.typed", "interest.proto", "interest_pb2.pyi"} <= shipped


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="the oldest versions have wheels for Python 3.11 alone")
def test_the_oldest_versions_promised_work(tmp_path: Path, wheel: Path) -> None:
    extras = PROJECT["optional-dependencies"]
    bounds = [*PROJECT["dependencies"], *(line for lines in extras.values() for line in lines)]
    oldest = {line.split(",")[0].replace(">=", "==") for line in bounds}
    constraints = tmp_path / "oldest.txt"
    constraints.write_text("\n".join(sorted(oldest)))
    environment = Environment(tmp_path / "venv")
    installed = environment.install("--constraint", constraints, f"{wheel}[{','.join(extras)}]")
    assert {f"{name}=={version}" for name, version in installed.items()} >= oldest
    environment.run("python", "-W", "error", SMOKE, "tables")
