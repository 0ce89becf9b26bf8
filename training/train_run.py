"""`penchant train` without the terminal: a store in, a published and registered revision out."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from graph.snapshot import Snapshot, is_comparable, take_snapshot
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import BadInputError, TrainingError
from graph.storage.times import DAY_US
from training.alignment import ALIGNMENT, Alignment, turned
from training.artifact_publish import publish_model, publish_revision
from training.aversion import NEAR_DISLIKES
from training.comparison import Active
from training.curves import CURVES, draw_curves
from training.evaluation.outcomes import Outcomes
from training.evaluation.protocols import Split, leave_one_out, time_split
from training.evaluation.queries import Queries
from training.fit import Progress
from training.mixture_build import Stage, mixture_of, revision_of
from training.promote import Verdict, judge
from training.promotion import judge_recorded, promote
from training.promotion_gate import Comparison, Gate, Thresholds
from training.recency import RECENCY
from training.refresh import POPULARITY_HALF_LIFE
from training.train import Learned, config_for, learn

CHECKPOINT = ".training"
RUN = "run.json"


@dataclass(frozen=True)
class Options:
    """`holdout_days` at the end stay untouched, for `penchant evaluate`; the validation window lies before them."""

    protocol: Literal["time", "leave-one-out"] = "time"
    order: Literal["published", "shuffled"] = "published"
    holdout_days: float = 28.0
    validation_days: float = 28.0
    net: dict[str, Any] = field(default_factory=dict)
    device: str = "auto"
    resume: bool = False
    activate: bool = True
    force: bool = False
    thresholds: Thresholds = field(default_factory=Thresholds)


@dataclass(frozen=True)
class Trained:
    """`gate` is what decided whether the model may serve; `is_active`, whether it does."""

    version: registry.Version
    path: Path
    verdict: Verdict
    gate: Gate
    alignment: Alignment | None
    learned: Learned
    curves: Path
    is_active: bool


@dataclass(frozen=True)
class Parts:
    """`trained` teaches the net, `validation` asks, `outcomes` are what all users did then, of `published` the first
    revision is made."""

    trained: Snapshot
    validation: Queries
    outcomes: Outcomes
    published: Snapshot
    settings: dict[str, Any]


def train(
    database: Database,
    root: Path,
    options: Options,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    stage: Stage = lambda _: None,
) -> Trained:
    """A model that does not pass the gate is published all the same, and serves only where it is forced to."""
    stage("snapshot")
    folder = root / CHECKPOINT
    snapshot = _snapshot(database, folder, resume=options.resume)
    parts = parts_of(snapshot, options)
    config = config_for(parts.trained, options.net)
    learned = learn(
        parts.trained,
        parts.validation,
        config,
        following=parts.published,
        outcomes=parts.outcomes,
        window_days=options.validation_days,
        device=options.device,
        checkpoint_dir=folder,
        resume=options.resume,
        on_progress=on_progress,
        stage=stage,
    )
    stage("baselines")
    verdict = judge(learned, parts.trained, parts.validation)
    stage("the active model")
    active = Active(database, root, parts.trained)
    comparison = active.compared(verdict.results[0], parts.validation, verdict.seen)
    stage("publish")
    settings = {
        **parts.settings,
        "net": learned.model.net.config.model_dump(mode="json"),
        "exclude_seen": learned.exclude_seen,
        POPULARITY_HALF_LIFE: learned.model.popularity_half_life_days,
        NEAR_DISLIKES: learned.model.near,
        RECENCY: learned.model.recency.settings(),
    }
    alignment = active.align(learned.mixture, parts.trained.items)
    version, path = _publish(database, root, learned, alignment, parts.published, settings, verdict, comparison, stage)
    curves = path.parent / f"m{version.model}" / CURVES
    draw_curves(learned.fit.epochs, curves, title=f"Learning curves of m{version.model}")
    (folder / RUN).unlink(missing_ok=True)
    gate = judge_recorded(database, version, options.thresholds)
    is_active = options.activate and (gate.passes or options.force)
    if is_active:
        promote(database, version, force=options.force, gate=gate)
    return Trained(version, path, verdict, gate, alignment, learned, curves, is_active)


def parts_of(snapshot: Snapshot, options: Options) -> Parts:
    """Cuts the snapshot. Raises BadInputError when a window is empty."""
    if options.protocol == "leave-one-out":
        split = leave_one_out(snapshot, order=options.order)
        return Parts(
            split.trained, split.validation, split.validation_outcomes, split.refreshed, _settings(options, split)
        )
    # Later than that there may be retractions, but nothing that anybody did.
    newest = snapshot.newest_end
    end = newest - round(options.holdout_days * DAY_US)
    window = round(options.validation_days * DAY_US)
    if options.holdout_days < 0 or window <= 0:
        raise BadInputError("Windows of training must be longer than nothing.", hint="Try --holdout-days 28.")
    if options.holdout_days:
        split = time_split(snapshot, test_start=end, test_end=newest, validation_days=options.validation_days)
        return Parts(
            split.trained, split.validation, split.validation_outcomes, split.refreshed, _settings(options, split)
        )
    # Nothing is held out: the newest window validates, and stands where a test would.
    split = time_split(snapshot, test_start=end - window, test_end=newest, validation_days=options.validation_days)
    return Parts(split.refreshed, split.test, split.test_outcomes, snapshot, _settings(options, split))


def _settings(options: Options, split: Split) -> dict[str, Any]:
    return {
        "protocol": options.protocol,
        "holdout_days": options.holdout_days,
        "validation_days": options.validation_days,
        "split": dict(split.settings),
    }


def _snapshot(database: Database, folder: Path, *, resume: bool) -> Snapshot:
    """A resumed run sees the store as the interrupted one saw it, whatever was written since."""
    note = folder / RUN
    if resume and note.exists():
        before = json.loads(note.read_text(encoding="utf-8"))
        snapshot = take_snapshot(database, as_of=before["as_of"], known_at=before["known_at"])
        if not is_comparable(before["snapshot_hash"]):
            raise TrainingError(
                "The run was begun by an older version of penchant, which describes the store otherwise.",
                hint="Train without --resume.",
            )
        if snapshot.content_hash != before["snapshot_hash"]:
            raise TrainingError(
                "The store has changed in its past since the run began.", hint="Train without --resume."
            )
        return snapshot
    snapshot = take_snapshot(database, as_of=None)
    if not len(snapshot.events):
        raise TrainingError("The store holds no events to learn from.", hint="Load some with `penchant ingest`.")
    folder.mkdir(parents=True, exist_ok=True)
    times = {"as_of": snapshot.as_of, "known_at": snapshot.known_at, "snapshot_hash": snapshot.content_hash}
    note.write_text(json.dumps(times), encoding="utf-8")
    return snapshot


def _publish(
    database: Database,
    root: Path,
    learned: Learned,
    alignment: Alignment | None,
    snapshot: Snapshot,
    settings: dict[str, Any],
    verdict: Verdict,
    comparison: Comparison | None,
    stage: Stage,
) -> tuple[registry.Version, Path]:
    if alignment is not None:
        settings = {**settings, ALIGNMENT: alignment.settings}
    space = alignment.vector_space if alignment is not None and alignment.keeps_space else None
    number = registry.create_model(database, vector_space=space, config=settings)
    name = f"m{number}"
    net = learned.model.net if alignment is None else turned(learned.model.net, alignment.rotation)
    model = replace(learned.model, net=net, vector_space=space or name, name=name)
    publish_model(root, number, model.net.state_dict(), settings["net"])
    mixture = mixture_of(model, snapshot, stage)
    seed = settings["net"]["seed"]
    revision = revision_of(model, mixture, snapshot, config=settings, metrics=verdict.metrics, seed=seed, stage=stage)
    version = registry.next_version(database, number)
    path = publish_revision(root, version.model, version.revision, revision)
    registry.add_revision(
        database,
        number,
        path=path.name,
        as_of=snapshot.as_of,
        known_at=snapshot.known_at,
        snapshot_hash=snapshot.content_hash,
        metrics=verdict.metrics,
        version=version,
        comparison=None if comparison is None else comparison.model_dump(),
    )
    return version, path
