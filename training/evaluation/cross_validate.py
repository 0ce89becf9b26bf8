"""`penchant cross-validate` without the terminal: a model for each fold, learned without it and judged on it.

A finished fold lies in the folder as NAME.json and NAME.npz and is not run again; an interrupted one goes on where it
stopped. PLAN says what was asked and of which moment of the store, so that all folds of a folder answer one question.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from graph.snapshot import Snapshot, is_comparable, take_snapshot
from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError
from graph.storage.times import DAY_US
from training.code_revision import git_revision
from training.evaluation.baselines import DEFAULT_BASELINES, Ranker, fitted_baselines, require_baselines
from training.evaluation.evaluate import Progress, evaluate
from training.evaluation.folds import rolling_origins, user_folds
from training.evaluation.protocols import AS_TRAINED, Order, Split, leave_one_out, time_split
from training.evaluation.queries import Seen
from training.evaluation.report import Report, make_report, note_reading, save_report
from training.evaluation.report_read import read_report
from training.fit import Progress as FitProgress
from training.mixture_build import Stage, mixture_of
from training.train import RARE_REPEATS, config_for, learn, share_of_repeats

PLAN = "plan.json"


@dataclass(frozen=True)
class Options:
    """Either `folds` over users or `origins` over time. `seen` None: by how many of the wanted items users had before.

    `net`: settings of the net that differ from the defaults for data of this size.
    """

    folds: int | None = None
    origins: int | None = None
    protocol: Literal["time", "leave-one-out"] = "time"
    order: Order = "published"
    seen: Seen | None = None
    baselines: tuple[str, ...] = DEFAULT_BASELINES
    holdout_days: float = 28.0
    validation_days: float = 28.0
    as_of: int | None = None
    known_at: int | None = None
    net: dict[str, Any] = field(default_factory=dict)


def cross_validate(
    database: Database,
    folder: Path,
    options: Options,
    *,
    device: str = "auto",
    stage: Stage = lambda _: None,
    on_progress: Callable[[FitProgress], None] | None = None,
    progress: Progress | None = None,
) -> list[Report]:
    """One report a fold, in order. Raises BadInputError for options that make no question, ConflictError where the
    folder holds another one, TrainingError."""
    _check(options)
    stage("snapshot")
    snapshot = _planned(database, folder, options)
    reports: list[Report] = []
    seen = options.seen
    for number, split in enumerate(splits_of(snapshot, options), 1):
        # Decided once, before anything is learned: folds judged by two rules could not be put together.
        seen = seen or ("exclude" if share_of_repeats(split.validation) < RARE_REPEATS else "include")
        name = f"fold-{number}"
        path = folder / f"{name}.json"
        if not path.exists():

            def say(what: str, name: str = name) -> None:
                stage(f"{name}, {what}")

            checkpoint = folder / f".{name}"
            report = _fold(split, options, seen, checkpoint, device, say, on_progress, progress)
            save_report(report, path)
            note_reading(report, path)
            shutil.rmtree(checkpoint, ignore_errors=True)
        reports.append(read_report(path))
    return reports


def splits_of(snapshot: Snapshot, options: Options) -> Iterator[Split]:
    """One after the other: of a large store not all fit beside each other."""
    end = snapshot.newest_end if options.as_of is None else snapshot.as_of
    if options.origins:
        return rolling_origins(
            snapshot,
            options.origins,
            end=end,
            window_days=options.holdout_days,
            validation_days=options.validation_days,
        )
    if options.protocol == "leave-one-out":
        split = leave_one_out(snapshot, order=options.order)
    else:
        test_start = end - round(options.holdout_days * DAY_US)
        split = time_split(snapshot, test_start=test_start, test_end=end, validation_days=options.validation_days)
    return user_folds(split, options.folds or 0)


def _fold(
    split: Split,
    options: Options,
    seen: Seen,
    checkpoint: Path,
    device: str,
    stage: Stage,
    on_progress: Callable[[FitProgress], None] | None,
    progress: Progress | None,
) -> Report:
    config = config_for(split.trained, options.net)
    learned = learn(
        split.trained,
        split.validation,
        config,
        following=split.refreshed,
        outcomes=split.validation_outcomes,
        window_days=options.validation_days,
        device=device,
        checkpoint_dir=checkpoint,
        resume=True,
        on_progress=on_progress,
        stage=stage,
    )

    def rankers(column: str, events: Snapshot) -> Iterator[Ranker]:
        stage(f"penchant, {column}")
        yield learned.mixture if column == AS_TRAINED else mixture_of(learned.model, events)
        yield from fitted_baselines(options.baselines, column, events, stage)

    columns = {column: rankers(column, events) for column, events in split.columns.items()}
    results = evaluate(split.test, columns, seen=seen, progress=progress)
    return make_report(
        split,
        results,
        seen=seen,
        model_seed=config.seed,
        rivals=[learned.mixture.name],
        config={"net": learned.model.net.config.model_dump(mode="json"), "exclude_seen": learned.exclude_seen},
    )


def _check(options: Options) -> None:
    if (options.folds is None) == (options.origins is None):
        raise BadInputError("Ask for folds over users or for origins over time.", hint="Try --folds 5 or --origins 4.")
    if options.origins is not None and options.protocol != "time":
        raise BadInputError("Origins are cuts through time.", hint="Use --protocol time, or --folds.")
    require_baselines(options.baselines)
    if options.folds == 0 or options.origins == 0:
        raise BadInputError("There must be one at least.", hint="Try --folds 5 or --origins 4.")


def _planned(database: Database, folder: Path, options: Options) -> Snapshot:
    """The moment of the store that the folder's plan names; a new plan where nothing has come of one yet."""
    question = json.loads(json.dumps(asdict(options)))
    note, revision = folder / PLAN, git_revision()
    if any(folder.glob("fold-*.json")) or any(folder.glob(".fold-*")):
        try:
            plan = json.loads(note.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConflictError(
                f"{folder} holds folds, and no plan that says of what.", hint="Name another folder with --output."
            ) from error
        other = sorted(name for name, value in question.items() if value != plan["question"].get(name))
        if other:
            raise ConflictError(
                f"{folder} holds a cross-validation of another question: {', '.join(other)} differs.",
                hint="Ask the same again to go on with it, or name another folder with --output.",
            )
        snapshot = take_snapshot(database, as_of=plan["as_of"], known_at=plan["known_at"])
        same_code = plan["code_revision"] == revision and is_comparable(plan["snapshot_hash"])
        if not same_code or snapshot.content_hash != plan["snapshot_hash"]:
            what = "the store has changed in its past" if same_code else "the code has changed"
            raise ConflictError(
                f"Since the cross-validation in {folder} began, {what}.", hint="Name another folder with --output."
            )
        return snapshot
    snapshot = take_snapshot(database, as_of=options.as_of, known_at=options.known_at)
    if not len(snapshot.events):
        raise BadInputError("The store holds no events to learn from.", hint="Load some with `penchant ingest`.")
    plan = {
        "question": question,
        "as_of": snapshot.as_of,
        "known_at": snapshot.known_at,
        "snapshot_hash": snapshot.content_hash,
        "code_revision": revision,
    }
    folder.mkdir(parents=True, exist_ok=True)
    beside = note.with_name(note.name + ".tmp")
    beside.write_text(json.dumps(plan, indent=2) + "\n", encoding="utf-8")
    beside.replace(note)
    return snapshot
