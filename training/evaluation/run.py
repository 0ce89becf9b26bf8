"""`penchant evaluate` without the terminal: a store in, a report out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from graph.snapshot import Snapshot, take_snapshot
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.times import DAY_US, format_time, parse_time
from training.artifact import Artifact, load_artifact
from training.evaluation.baselines import DEFAULT_BASELINES, Ranker, fitted_baselines, require_baselines
from training.evaluation.evaluate import Progress, evaluate
from training.evaluation.foretold import Foretold, foretell
from training.evaluation.protocols import Order, Split, leave_one_out, time_split
from training.evaluation.queries import Seen
from training.evaluation.report import Report, make_report
from training.refresh import model_ranker

ACTIVE, NONE = "active", "none"
"""Values of `model` besides a version."""


@dataclass(frozen=True)
class Options:
    """`model`: a version, `active` or `none`. `seen` None: as the model was trained, with no model included."""

    protocol: Literal["time", "leave-one-out"] = "time"
    order: Order = "published"
    seen: Seen | None = None
    model: str = ACTIVE
    baselines: Sequence[str] = DEFAULT_BASELINES
    holdout_days: float = 28.0
    validation_days: float = 28.0
    as_of: int | None = None
    known_at: int | None = None


def run(
    database: Database,
    artifacts: Path,
    options: Options,
    *,
    stage: Callable[[str], None] = lambda _: None,
    progress: Progress | None = None,
) -> Report:
    """Raises BadInputError for options that make no question, NotFoundError for a model that is not there,
    ArtifactError for one that is broken."""
    require_baselines(options.baselines)
    artifact = find_artifact(database, artifacts, options.model)
    stage("snapshot")
    snapshot = take_snapshot(database, as_of=options.as_of, known_at=options.known_at)
    if options.protocol == "leave-one-out":
        split = leave_one_out(snapshot, order=options.order)
    else:
        end = snapshot.newest_end if options.as_of is None else snapshot.as_of
        split = time_split(
            snapshot,
            test_start=end - round(options.holdout_days * DAY_US),
            test_end=end,
            validation_days=options.validation_days,
        )
    config: Mapping[str, Any] = artifact.manifest.config if artifact else {}
    if artifact:
        require_unseen(artifact.version, config, split)
    if not artifact and not options.baselines:
        raise BadInputError("There is nothing to evaluate.", hint="Name a model or some baselines.")
    ours: set[str] = set()
    foretold: list[Foretold] = []
    seen: Seen = options.seen or ("exclude" if config.get("exclude_seen") else "include")

    def rankers(column: str, events: Snapshot) -> Iterator[Ranker]:
        """One at a time: a large catalog's memories do not all fit beside each other."""
        if artifact:
            stage(f"{artifact.version}, {column}")
            model = model_ranker(artifact, events)
            ours.add(model.name)
            yield model
            stage(f"{artifact.version}, {column}: probabilities")
            catalog = split.test.catalog
            outcomes = split.test_outcomes
            foretold.extend(foretell(model, artifact.calibration, outcomes, column, seen=seen, catalog=catalog))
            del model
        yield from fitted_baselines(options.baselines, column, events, stage)

    columns = {column: rankers(column, events) for column, events in split.columns.items()}
    results = evaluate(split.test, columns, seen=seen, progress=progress)
    return make_report(
        split,
        results,
        seen=seen,
        model=artifact.version if artifact else None,
        model_seed=config.get("net", {}).get("seed"),
        rivals=sorted(ours),
        config=config,
        probabilities=foretold,
    )


def find_artifact(database: Database, artifacts: Path, model: str) -> Artifact | None:
    """The artifact of a version, or of what is active; None for `none`."""
    if model == NONE:
        return None
    if model != ACTIVE:
        return load_artifact(artifacts / registry.get_revision(database, registry.parse_version(model)).path)
    active = registry.active_revision(database)
    if active is None:
        raise NotFoundError(
            "No model is active.", hint="Train one with `penchant train`, or compare baselines with --model none."
        )
    return load_artifact(artifacts / active.path)


def require_unseen(version: str, config: Mapping[str, Any], split: Split) -> None:
    """BadInputError if the weights, or what was chosen on validation, have learned from the split's test events."""
    learned = dict(config.get("split") or {})
    protocol = config.get("protocol")
    hint = "Evaluate with the protocol, order and hold-out that the model was trained with, or train it anew."
    if protocol != split.protocol or learned.get("order") != split.settings.get("order"):
        order = f" in {learned['order']} order" if "order" in learned else ""
        raise BadInputError(
            f"{version} was trained for the protocol {protocol!r}{order}: it knows the test.", hint=hint
        )
    if split.protocol == "time":
        # With nothing held out, the window that stands for a test has served as validation.
        knows_until = parse_time(learned["test_start" if config.get("holdout_days") else "test_end"])
        test_start = parse_time(split.settings["test_start"])
        if knows_until > test_start:
            raise BadInputError(
                f"{version} has learned from events until {format_time(knows_until)}, "
                f"the test begins at {format_time(test_start)}.",
                hint=hint,
            )
