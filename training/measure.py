"""`penchant models gate --measure`: a published model beside the one that is active now, on its validation window."""

from pathlib import Path

from graph.snapshot import take_snapshot
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import ArtifactError, ConflictError
from training.artifact import load_artifact
from training.comparison import Active, answers_of
from training.evaluation.queries import Seen
from training.promotion_gate import Comparison
from training.refresh import model_ranker
from training.train_run import Options, parts_of


def measure(database: Database, root: Path, version: registry.Version) -> Comparison:
    """Compares a published revision's model with what is active now, and notes it with the revision.

    Raises NotFoundError, ArtifactError, and ConflictError where there is nothing to compare with, or where the store no
    longer gives the events that the model was trained on.
    """
    revision, active = registry.get_revision(database, version), registry.active_revision(database)
    if active is None or active.version.model == version.model:
        raise ConflictError(
            f"No other model is active than that of {version}.", hint="There is nothing to compare it with."
        )
    artifact = load_artifact(root / revision.path)
    config = artifact.manifest.config
    # The window is the model's, fixed when its first revision was made.
    first = registry.get_revision(database, registry.Version(version.model, 1))
    snapshot = take_snapshot(database, as_of=None, known_at=first.known_at)
    parts = parts_of(
        snapshot,
        Options(
            protocol=config["protocol"],
            order=config["split"].get("order") or "published",
            holdout_days=config["holdout_days"],
            validation_days=config["validation_days"],
        ),
    )
    if parts.published.content_hash != first.snapshot_hash:
        raise ConflictError(
            f"The store no longer gives the events that m{version.model} was trained on.",
            hint=f"`penchant graph diff m{version.model}.1 now` shows what changed. Train a new model.",
        )
    seen: Seen = "exclude" if config.get("exclude_seen") else "include"
    ours = answers_of(model_ranker(artifact, parts.trained), parts.validation, seen)
    found = Active(database, root, parts.trained).compared(ours, parts.validation, seen)
    if found is None or found.problem:
        raise ArtifactError(
            f"There is nothing to compare {version} with: {found.problem if found else 'none is active'}."
        )
    registry.note_comparison(database, version, found.model_dump())
    return found
