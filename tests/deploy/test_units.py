"""The systemd units load, and leave their processes little that could harm the machine."""

import shutil
import subprocess
from pathlib import Path

import pytest

from graph.storage.settings import Settings
from tests.deploy.conftest import DEPLOY, unit, without_comments

UNITS = sorted(path.name for path in (DEPLOY / "systemd").iterdir())
ANALYZE = shutil.which("systemd-analyze")
EXPOSED_AT_MOST = 20
"""Tenths, as `systemd-analyze security` counts; a unit without any protection has 96."""

needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed")


@needs_systemd
@pytest.mark.parametrize("all_lines", [False, True], ids=["as they are", "with the lines in comments"])
def test_they_load(tmp_path: Path, all_lines: bool) -> None:
    program = tmp_path / "opt" / "penchant" / "bin" / "penchant"
    program.parent.mkdir(parents=True)
    shutil.copy("/bin/true", program)  # what they start is looked for below the root
    folder = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree(DEPLOY / "systemd", folder)
    if all_lines:
        (folder / "penchant.service").write_text(without_comments("penchant.service"))
    for target in ("sysinit", "basic", "network-online", "multi-user", "timers", "shutdown"):
        (folder / f"{target}.target").write_text("[Unit]\n")
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={tmp_path}", *UNITS],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_they_are_exposed_little(name: str) -> None:
    run = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={EXPOSED_AT_MOST}", DEPLOY / "systemd" / name],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr


def test_calls_in_flight_get_their_grace() -> None:
    settings = dict(unit("penchant.service"))
    assert float(settings["TimeoutStopSec"]) > Settings.model_fields["grace_s"].get_default()
    assert settings["KillSignal"] == "SIGTERM"


def test_both_services_see_the_same_store_and_models() -> None:
    server, refresh = (dict(unit(name)) for name in ("penchant.service", "penchant-refresh.service"))
    for name in ("User", "WorkingDirectory", "StateDirectory", "EnvironmentFile", "Environment", "LoadCredential"):
        assert server[name] == refresh[name]
    assert (DEPLOY / "systemd" / "penchant-refresh.timer").is_file()
