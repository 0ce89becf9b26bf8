"""A Dockerfile built without a container engine: each step runs below a folder that stands for the image's root.

What it cannot show: the base image itself, users and who owns what. Python and pip come from a new environment.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import dockerfile
import pathspec

_OF_THE_IMAGE = re.compile(r"(?<![\w./-])/(?=(?:home|opt|src|tmp|var|wheels)\b)")
"""Where an absolute path of the image begins, in an instruction."""
_OF_THE_HOST = re.compile("PIP_|SSL_|LANG|(?i:https?_proxy)")
"""Variables with which this machine reaches its package index, as a builder's configuration would."""
_KEPT_OUT = {"PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"}
"""A builder hands them over as build arguments."""
_SHIMS = {"useradd": 'mkdir -p "$ROOT/home/penchant"', "chown": "true"}


@dataclass
class Stage:
    """What one FROM begins; of the last one, the image."""

    name: str
    arguments: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "root"
    said: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """ENTRYPOINT, CMD, HEALTHCHECK, EXPOSE, STOPSIGNAL as they stand."""


def context_of(checkout: Path, copy: Path) -> Path:
    """What a builder is sent: the checkout without what .dockerignore leaves out."""
    ignored = pathspec.PathSpec.from_lines("gitignore", (checkout / ".dockerignore").read_text().splitlines())
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=checkout, capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, tracked):
        if (checkout / name).is_file() and not ignored.match_file(name):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, copy / name)
    return copy


class Replay:
    """Builds `file` below `place`. All stages have their turn at the same root, since environments cannot be moved."""

    def __init__(self, file: Path, context: Path, place: Path, build_arguments: Mapping[str, str]) -> None:
        self.root = place / "root"
        self._place, self._context, self._given = place, context, build_arguments
        self._globals: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}
        venv.create(place / "python", with_pip=True)
        shims = place / "shims"
        shims.mkdir()
        for name, script in _SHIMS.items():
            (shims / name).write_text(f"#!/bin/sh\n{script}\n")
            (shims / name).chmod(0o755)
        self._path = f"{shims}:{place / 'python' / 'bin'}:/usr/bin:/bin"
        self.stage = Stage("")
        for step in dockerfile.parse_file(str(file)):
            began = time.monotonic()
            getattr(self, f"_{step.cmd.lower()}", self._say)(step)
            print(f"{time.monotonic() - began:6.1f} s  {self.stage.name}: {step.original[:100]}")

    def environment(self) -> dict[str, str]:
        host = {name: value for name, value in os.environ.items() if _OF_THE_HOST.match(name)}
        base = {"PATH": self._path, "HOME": str(self._place), "ROOT": str(self.root)}
        known = {name: value for name, value in host.items() if name not in _KEPT_OUT}
        return known | base | self.stage.environment

    def mapped(self, text: str) -> str:
        return _OF_THE_IMAGE.sub(f"{self.root}/", text)

    def folder(self) -> Path:
        return Path(self.mapped(self.stage.folder))

    def _arg(self, step: dockerfile.Command) -> None:
        name, _, default = step.value[0].partition("=")
        into = self.stage.arguments if self._stages else self._globals
        if name in self._given or "=" in step.value[0]:
            into[name] = self._given.get(name, default)

    def _from(self, step: dockerfile.Command) -> None:
        if self._stages:
            self.root.rename(self._place / self.stage.name)
        self.stage = Stage(step.value[2] if len(step.value) == 3 else "image")
        self._stages[self.stage.name] = self.stage
        assert self._expanded(step.value[0], self._globals).startswith("python:3.11")
        (self.root / "tmp").mkdir(parents=True)
        (self.root / "var" / "lib").mkdir(parents=True)

    def _run(self, step: dockerfile.Command) -> None:
        bound = [path for flag in step.flags if (path := self._bind(flag))]
        (script,) = step.value
        subprocess.run(
            ["/bin/sh", "-euc", self.mapped(script)],
            cwd=self.folder(), env=self.environment() | self.stage.arguments, check=True,
        )  # fmt: skip
        for path in bound:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _bind(self, flag: str) -> Path | None:
        """Puts what a bind mount shows in its place. Caches are none of the image."""
        options = dict(option.partition("=")[::2] for option in flag.removeprefix("--mount=").split(","))
        if options["type"] == "cache":
            return None
        assert options["type"] == "bind"
        target = Path(self.mapped(options["target"]))
        self._copied(self._source(options.get("from"), options["source"]), target)
        return target

    def _copy(self, step: dockerfile.Command) -> None:
        *sources, target = step.value
        stage = next((flag.removeprefix("--from=") for flag in step.flags), None)
        for source in sources:
            to = self.folder() / self.mapped(target)
            path = self._source(stage, source)
            into_folder = target.endswith("/") and not path.is_dir()
            self._copied(path, to / path.name if into_folder else to)

    def _source(self, stage: str | None, path: str) -> Path:
        return (self._place / stage if stage else self._context) / path.lstrip("/")

    def _copied(self, source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)

    def _env(self, step: dockerfile.Command) -> None:
        for name, value in _pairs(step.value):
            known = {"PATH": self._path} | self.stage.arguments | self.stage.environment
            self.stage.environment[name] = self.mapped(self._expanded(value, known))

    def _label(self, step: dockerfile.Command) -> None:
        self.stage.labels |= dict(_pairs(step.value))

    def _workdir(self, step: dockerfile.Command) -> None:
        (self.stage.folder,) = step.value
        self.folder().mkdir(parents=True, exist_ok=True)

    def _user(self, step: dockerfile.Command) -> None:
        (self.stage.user,) = step.value

    def _say(self, step: dockerfile.Command) -> None:
        self.stage.said[step.cmd] = step.value

    def _expanded(self, text: str, names: Mapping[str, str]) -> str:
        return re.sub(r"\$\{?(\w+)\}?", lambda found: names[found[1]], text)


def _pairs(value: Sequence[str]) -> list[tuple[str, str]]:
    """Of ENV and LABEL, which the parser gives as names and values in turn."""
    return [(name, text.strip('"')) for name, text in zip(value[::2], value[1::2], strict=True)]


if __name__ == "__main__":
    file, context, place = (Path(argument).resolve() for argument in sys.argv[1:4])
    Replay(file, context_of(context, place / "context"), place, {})
