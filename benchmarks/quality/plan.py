"""What is to be done: a job for each model and seed, and of its cells those that are not there."""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from benchmarks.quality.cells import Cell, Kind, Protocol, read_cell, slug, write_cell
from graph.storage.times import format_time, now_us
from training.code_revision import git_revision
from training.evaluation.protocols import Order
from training.evaluation.queries import Seen

ROOT = Path(__file__).resolve().parents[2]
"""Where the packages are, for a process that is started elsewhere."""
POLL_S = 0.5


class Job(BaseModel):
    """One model, one seed. `folder`: of the data set's protocol; `environments`: of the peers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    database_url: str
    folder: Path
    environments: Path
    data_set: str
    protocol: Protocol
    order: Order
    holdout_days: float | None
    validation_days: float | None
    model: str
    kind: Kind
    seed: int
    seen: tuple[Seen, ...]
    budget_s: float
    device: str

    @property
    def asked(self) -> dict[str, Any]:
        """What the figures depend on besides the code and what their place on disk says."""
        days = {"holdout_days": self.holdout_days, "validation_days": self.validation_days}
        return days if self.kind == "baseline" else {**days, "budget_s": self.budget_s}

    @property
    def place(self) -> Path:
        """The folder of its cells. What was learned in another time stands elsewhere."""
        return self.folder / (slug(self.model) + ("" if self.kind == "baseline" else f"@{self.budget_s:g}s"))

    def path(self, seen: Seen) -> Path:
        return self.place / f"{self.seed}-{seen}.json"

    def cells(self) -> list[Cell]:
        """Those on disk that answer this question."""
        found = (read_cell(self.path(seen)) for seen in self.seen)
        return [cell for cell in found if cell is not None and cell.asked == self.asked]

    def missing(self, *, retry: bool = False, anew: bool = False) -> bool:
        """Whether it is to be run. `retry`: a cell that failed counts as none; `anew`: so does one of other code."""
        cells = self.cells()
        if len(cells) < len(self.seen) or (retry and any(cell.status != "done" for cell in cells)):
            return True
        ours = self.kind in ("penchant", "variant")
        return anew and ours and any(is_other_code(cell.code_revision) for cell in cells)

    def cell(self, seen: Seen, **known: Any) -> Cell:
        return Cell(
            data_set=self.data_set,
            protocol=self.protocol,
            seen=seen,
            model=self.model,
            kind=self.kind,
            seed=self.seed,
            asked=self.asked,
            code_revision=code_revision(),
            created_at=format_time(now_us()),
            **known,
        )

    def fail(self, status: str, said: str) -> None:
        """Its cells say so; what was measured before stays."""
        done = {cell.seen for cell in self.cells() if cell.status == "done"}
        for seen in (seen for seen in self.seen if seen not in done):
            write_cell(self.path(seen), self.cell(seen, status=status, said=said), {})


@functools.cache
def code_revision() -> str:
    """Of the code that this process began with, whatever is committed while it runs."""
    return git_revision()


def is_other_code(revision: str) -> bool:
    """Whether something was made by other code than this, as far as that can be told: not of uncommitted changes."""
    return revision != code_revision() or revision.endswith("+")


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a process that finds our packages wherever it is started (with -P: not in that folder)."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, **more, "PYTHONPATH": path}


def run(job: Job, tell: Callable[[str], None] = lambda _: None) -> None:
    """Does the job in a process of its own and leaves its cells behind, whatever happens to it; `tell` hears how far it
    is. What the process prints is kept beside the cells."""
    job.place.mkdir(parents=True, exist_ok=True)
    note, log = job.place / f"{job.seed}.job.json", job.place / f"{job.seed}.log"
    note.write_text(job.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "benchmarks.quality.worker", str(note)]
    with log.open("wb") as output:
        # A session of its own, so that what it starts ends with it.
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=surroundings(),
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                tell(last_line(log))
                time.sleep(POLL_S)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode < 0:
        job.fail("failed", f"ended by {signal.Signals(-process.returncode).name}")
    elif process.returncode:
        job.fail("failed", last_line(log) or f"exit code {process.returncode}")
    note.unlink()


def last_line(path: Path, most: int = 4096) -> str:
    """Of a file that somebody may be writing; of what overwrites itself, the newest."""
    if not path.exists():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
