"""Running the public commands one after the other, each shown as one would type it, each once per folder."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from graph.storage.errors import PenchantError

DONE = "done.json"


class Steps:
    """Remembers in `folder` which commands have succeeded, so that a second run is quick and does no harm."""

    def __init__(self, folder: Path, console: Console) -> None:
        self._file = folder / DONE
        self._console = console
        self._done: list[str] = json.loads(self._file.read_text()) if self._file.exists() else []
        self.environment = os.environ | {
            "PENCHANT_DATABASE_URL": f"sqlite:///{folder / 'penchant.db'}",
            "PENCHANT_ARTIFACTS": str(folder / "artifacts"),
        }

    def run(self, why: str, arguments: Sequence[str], *, always: bool = False) -> None:
        """`penchant <arguments>`, unless it was done before. Raises PenchantError where it fails."""
        line = shlex.join(["penchant", *arguments])
        self._console.print(f"\n[bold]{why}[/bold]\n[cyan]$ {line}[/cyan]", highlight=False)
        if line in self._done and not always:
            self._console.print("[dim]done by an earlier run[/dim]")
            return
        begun = time.monotonic()
        code = subprocess.run(command(arguments), env=self.environment, check=False).returncode
        if code != 0:
            raise PenchantError(f"`{line}` ended with exit code {code}.", hint="What it printed above says why.")
        self._console.print(f"[dim]{time.monotonic() - begun:.0f} s[/dim]")
        if not always:
            self._done.append(line)
            self._file.write_text(json.dumps(self._done, indent=2))


def command(arguments: Sequence[str]) -> list[str]:
    """The command line with this interpreter, whatever the PATH says."""
    return [sys.executable, "-m", "server", *arguments]
