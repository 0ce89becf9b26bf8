"""Prints what an image installs before the project itself: all that it depends on, with the extras that are named."""

import sys
import tomllib
from pathlib import Path


def requirements(extras: str, *projects: Path) -> list[str]:
    """`extras`: those of the first project, commas between. Raises SystemExit for one that there is not."""
    tables = [tomllib.loads(path.read_text("utf-8"))["project"] for path in projects]
    found = [line for table in tables for line in table["dependencies"]]
    known = tables[0]["optional-dependencies"]
    for extra in filter(None, extras.split(",")):
        if extra not in known:
            raise SystemExit(f"There is no extra {extra}, only {', '.join(known)}.")
        found += known[extra]
    return [line for line in found if not line.startswith("penchant")]


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in requirements(sys.argv[1], *map(Path, sys.argv[2:])))
