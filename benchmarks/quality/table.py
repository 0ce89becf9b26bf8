"""Cells to rows: means and spreads over seeds, and how far the model is ahead of each, for one rule of seen items."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.cells import Cell, Kind, Protocol, read_cell, read_users
from benchmarks.quality.plan import Job
from graph.arrays import Float64s
from graph.storage.errors import BadInputError
from graph.threads import cores
from training.evaluation.bootstrap import Difference, paired_bootstrap
from training.evaluation.protocols import AS_TRAINED, REFRESHED
from training.evaluation.queries import Seen

COLUMNS = (AS_TRAINED, REFRESHED)
RECALL, NDCG = "recall@10", "ndcg@10"
COMPARED = (RECALL, NDCG)
MODEL = "penchant"


@dataclass(frozen=True)
class Figure:
    """A metric's mean over seeds and its spread, the standard deviation of a sample; None for one seed."""

    mean: float
    spread: float | None


@dataclass(frozen=True)
class Row:
    """`figures` and `ahead` by column, then metric: what the model has, and how far penchant is ahead of it.

    Seconds and rows a second are means over seeds, the peak is the largest. `failed`: seed -> why it has no figures.
    """

    model: str
    kind: Kind
    seeds: tuple[int, ...]
    figures: dict[str, dict[str, Figure]]
    ahead: dict[str, dict[str, Difference]]
    fit_seconds: float | None
    peak_bytes: int | None
    rows_per_second: float | None
    stopped: bool
    failed: dict[int, str]
    revisions: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """A table, and what a figure of it needs to be quoted."""

    data_set: str
    protocol: Protocol
    settings: dict[str, Any]
    seen: Seen
    users: int
    data_hash: str
    seeds: tuple[int, ...]
    command: str
    measured: str
    machine: str
    rows: tuple[Row, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def compare(jobs: Sequence[Job], seen: Seen, command: str) -> Comparison:
    """The table of these jobs' cells, a row for each model.

    Raises BadInputError where the cells are not about the same events and users, or where there are none.
    """
    found: dict[str, list[tuple[Path, Cell]]] = {job.model: [] for job in jobs}
    for job in jobs:
        cell = read_cell(job.path(seen))
        if cell is not None:
            found[job.model].append((job.path(seen), cell))
    every = [cell for cells in found.values() for _, cell in cells]
    done = [cell for cell in every if cell.status == "done"]
    if not every:
        raise BadInputError("There are no results.", hint="Run the benchmark first.")
    for cell in done:
        if (cell.data_hash, cell.settings) != (done[0].data_hash, done[0].settings):
            raise BadInputError(
                f"{cell.model} and {done[0].model} were asked about different events or windows.",
                hint=f"Delete {jobs[0].folder}, or name another --folder.",
            )
    ours = _by_user([path for path, cell in found.get(MODEL, []) if cell.status == "done"])
    some = done[0] if done else every[0]
    return Comparison(
        data_set=some.data_set,
        protocol=some.protocol,
        settings=some.settings,
        seen=seen,
        users=some.users,
        data_hash=some.data_hash,
        seeds=tuple(sorted({cell.seed for cell in every if cell.kind != "baseline"} or {0})),
        command=command,
        measured=max(cell.created_at for cell in every),
        machine=machine(),
        rows=tuple(_row(model, cells, ours) for model, cells in found.items() if cells),
    )


def machine() -> str:
    """What the seconds depend on."""
    threads = os.environ.get("OMP_NUM_THREADS")
    return f"{cores()} cores" + (f", {threads} of them for arithmetic" if threads else "")


def _row(model: str, cells: Sequence[tuple[Path, Cell]], ours: dict[str, Float64s]) -> Row:
    done = [(path, cell) for path, cell in cells if cell.status == "done"]
    figures: dict[str, dict[str, Figure]] = {}
    for column in COLUMNS:
        of_seeds = [cell.metrics[column] for _, cell in done if column in cell.metrics]
        if of_seeds:
            figures[column] = {name: _figure([one[name] for one in of_seeds]) for name in of_seeds[0]}
    theirs = _by_user([path for path, _ in done]) if model != MODEL else {}
    ahead: dict[str, dict[str, Difference]] = {}
    for column in figures:
        keys = {metric: f"{column}/{metric}" for metric in COMPARED}
        if all(key in ours and key in theirs for key in keys.values()):
            ahead[column] = {metric: paired_bootstrap(ours[key], theirs[key]) for metric, key in keys.items()}
    costs = [cell.cost for _, cell in done]
    return Row(
        model=model,
        kind=cells[0][1].kind,
        seeds=tuple(cell.seed for _, cell in done),
        figures=figures,
        ahead=ahead,
        fit_seconds=_mean([cost.fit_seconds for cost in costs]),
        peak_bytes=max((cost.peak_bytes for cost in costs if cost.peak_bytes), default=None),
        rows_per_second=_mean([cost.rows_per_second for cost in costs]),
        stopped=any(cost.stopped for cost in costs),
        failed={cell.seed: f"{cell.status}: {cell.said}" for _, cell in cells if cell.status != "done"},
        revisions=tuple(sorted({cell.code_revision for _, cell in cells})),
    )


def _by_user(paths: Sequence[Path]) -> dict[str, Float64s]:
    """`column/metric` -> every user's mean over seeds."""
    of_seeds = [read_users(path) for path in paths]
    return {key: np.mean([one[key] for one in of_seeds], axis=0) for key in of_seeds[0]} if of_seeds else {}


def _figure(values: Sequence[float | None]) -> Figure:
    known = [value for value in values if value is not None]
    if not known:
        return Figure(float("nan"), None)
    return Figure(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
