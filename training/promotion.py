"""Letting a published revision serve: its recorded verdict decides, for the command line and for the server alike."""

from graph.storage.database import Database
from graph.storage.errors import ConflictError
from graph.storage.registry import Revision, Version, activate, active_revision, get_revision

OURS, BEST_BASELINE = "validation_ndcg@10", "validation_ndcg@10_best_baseline"
"""Names among a revision's metrics, as `promote.Verdict` records them."""


def loss_of(revision: Revision) -> str:
    """How the revision lost on its own validation window; empty where it did not, or nothing is recorded."""
    ours, theirs = revision.metrics.get(OURS), revision.metrics.get(BEST_BASELINE)
    if ours is None or theirs is None or ours >= theirs:
        return ""
    return f"{revision.version} loses on its validation window: NDCG@10 {ours:.4f}, a baseline has {theirs:.4f}."


def promote(database: Database, version: Version, *, force: bool = False, reason: str | None = None) -> Revision:
    """Makes a revision serve; nothing happens if it does already. NotFoundError, ConflictError where it lost."""
    active = active_revision(database)
    if active is not None and active.version == version:
        return active
    loss = loss_of(get_revision(database, version))
    if loss and not force:
        raise ConflictError(loss, hint="Train it longer or on more data, or force it.", reason="MODEL_LOSES")
    return activate(database, version, forced=bool(loss), reason=reason or loss or None)
