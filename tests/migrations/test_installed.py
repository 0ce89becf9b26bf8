"""An admin needs no checkout: the wheel alone migrates."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from migrations.commands import known_revisions

ROOT = Path(__file__).parents[2]
BUILD = "from setuptools import build_meta; import sys; build_meta.build_wheel(sys.argv[1])"
UPGRADE = "from graph.storage.cli import db_app; db_app()"


def test_the_wheel_migrates(tmp_path: Path, sqlite_url: str) -> None:
    pytest.importorskip("setuptools", reason="wheels are built with it, and it is no dependency")
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    shutil.copy(ROOT / "pyproject.toml", source)
    (source / "README.md").write_text("")
    for package in ("graph", "migrations"):
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, str(tmp_path)], cwd=source, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", UPGRADE, *words, "--database", f"sqlite:///{tmp_path}/installed.db"],
            cwd=tmp_path, env={"PATH": os.environ["PATH"], "PYTHONPATH": str(site)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert f"has schema {known_revisions()[-1]}" in run("upgrade")
    assert "base" in run("downgrade", "base", "--yes")
