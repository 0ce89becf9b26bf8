"""The papers cannot drift: what they name exists, and what exists they name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_readme_lists_every_file_with_its_purpose() -> None:
    checked = subprocess.run([sys.executable, "docs/files.py"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("life", ["The life of an event", "The life of a request"])
def test_the_files_of_a_life_exist_and_are_at_most_eight(life: str) -> None:
    section = read("docs/architecture.md").split(f"## {life}")[1].split("\n## ")[0]
    files = re.findall(r"^\d+\. `([^`]+)`", section, flags=re.MULTILINE)
    assert 3 <= len(files) <= 8
    for name in files:
        assert (ROOT / name).is_file(), f"{life} names {name}, which does not exist"


def test_every_command_is_in_operations() -> None:
    from server.cli import app

    page = read("docs/operations.md") + read("README.md")

    def walk(command: object, path: list[str]) -> list[str]:
        inner = getattr(command, "commands", None)
        if not inner:
            return [" ".join(path)]
        return [line for name, each in inner.items() for line in walk(each, [*path, name])]

    for line in walk(get_command(app), ["penchant"]):
        assert line in page, f"neither docs/operations.md nor README.md says anything of `{line}`"


def test_every_setting_is_in_operations() -> None:
    from graph.storage.settings import Settings

    page = read("docs/operations.md")
    for name in Settings.model_fields:
        assert f"PENCHANT_{name.upper()}" in page


@pytest.mark.parametrize("page", ["README.md", *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/*.md"))])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", read(page)):
        if "://" not in target:
            assert (ROOT / page).parent.joinpath(target).exists(), f"{page} links to {target}"
