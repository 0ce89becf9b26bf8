"""One job, in a process of its own: the model learns, answers, is judged, and leaves a cell for each rule.

    python -m benchmarks.quality.worker JOB.json

Whatever it holds in memory is its own, and whatever ends it ends nothing else.
"""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.quality.about import About
from benchmarks.quality.cells import Kind, write_cell
from benchmarks.quality.peers import OutOfTimeError
from benchmarks.quality.plan import Job, code_revision
from graph.snapshot import Snapshot, take_snapshot
from graph.storage.database import Database
from graph.storage.errors import PenchantError
from graph.storage.times import DAY_US
from training.evaluation.answers import Answers
from training.evaluation.baselines import Ranker
from training.evaluation.evaluate import Result, evaluate
from training.evaluation.protocols import Split, leave_one_out, time_split
from training.evaluation.queries import Seen
from training.evaluation.report import note_test_read

Rankers = Mapping[Seen, Ranker | Answers]
Fit = Callable[[Job, Split, About], Iterator[tuple[str, Rankers]]]
"""Yields each column with who answers in it under each rule, one column alive at a time; notes what it took."""
HOLDOUT_DAYS = 28.0
"""Less where the data span less than ten times that."""


def fit_of(kind: Kind) -> Fit:
    """Loaded when it is needed: what a baseline takes must not count the libraries of the net."""
    if kind == "baseline":
        from benchmarks.quality.fit_baseline import fit_baseline

        return fit_baseline
    if kind == "peer":
        from benchmarks.quality.fit_peer import fit_peer

        return fit_peer
    from benchmarks.quality.fit_own import fit_own

    return fit_own


def do(job: Job) -> None:
    """Writes the cells of a job that succeeds or runs out of time; anything else is raised."""
    code_revision()  # now, not when it ends
    database = Database(job.database_url)
    try:
        snapshot = take_snapshot(database, as_of=None)
    finally:
        database.close()
    split = split_of(job, snapshot)
    about = About()
    results: dict[Seen, list[Result]] = {seen: [] for seen in job.seen}
    try:
        for column, rankers in fit_of(job.kind)(job, split, about):
            for seen in job.seen:
                print(f"{column}, seen items {seen}d", flush=True)
                results[seen] += evaluate(split.test, {column: [rankers[seen]]}, seen=seen)
            del rankers  # before the next column's are made
    except OutOfTimeError as error:
        job.fail("out of time", str(error))
        return
    for seen in job.seen:
        keep(job, split, seen, results[seen], about)


def keep(job: Job, split: Split, seen: Seen, results: list[Result], about: About) -> None:
    """The cell, and a line in the log of all that was read from the test."""
    cell = job.cell(
        seen,
        status="done",
        settings=dict(split.settings),
        data_hash=split.data_hash,
        users=len(split.test.under(seen)),
        metrics={r.column: {k: v if math.isfinite(v) else None for k, v in r.means.items()} for r in results},
        cost=about.cost,
        config=about.config,
    )
    write_cell(job.path(seen), cell, {f"{r.column}/{k}": v for r in results for k, v in r.per_user.items()})
    read = json.loads(cell.model_dump_json(exclude={"metrics", "cost", "said", "status"}))
    note_test_read(job.folder, read | {"report": job.path(seen).relative_to(job.folder).as_posix()})


def split_of(job: Job, snapshot: Snapshot) -> Split:
    """The job's question. Raises BadInputError where the data do not allow it."""
    if job.protocol == "leave-one-out":
        return leave_one_out(snapshot, order=job.order)
    holdout = job.holdout_days or default_days(snapshot)
    end = snapshot.newest_end
    days = job.validation_days or holdout
    return time_split(snapshot, test_start=end - round(holdout * DAY_US), test_end=end, validation_days=days)


def default_days(snapshot: Snapshot) -> float:
    """How much of the end is held out where nobody says: four weeks, of short data a tenth."""
    at = snapshot.events.occurred_at
    span = (float(at.max()) - float(at.min())) / DAY_US if len(at) else 0.0
    return min(HOLDOUT_DAYS, span / 10) or HOLDOUT_DAYS


def main() -> None:
    try:
        do(Job.model_validate_json(Path(sys.argv[1]).read_text(encoding="utf-8")))
    except PenchantError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
