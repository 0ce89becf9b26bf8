"""Letting a published revision serve: the gate decides from what is recorded, for command line and server alike."""

from graph.storage.database import Database
from graph.storage.registry import Version, activate, activations, active_revision, get_revision
from training.promotion_gate import Gate, Thresholds, gate_of


def judge_recorded(database: Database, version: Version, thresholds: Thresholds | None = None) -> Gate:
    """What the gate says of a revision beside what is active now. Raises NotFoundError."""
    has_served = any(each.version == version for each in activations(database))
    revision, active = get_revision(database, version), active_revision(database)
    return gate_of(revision, active, thresholds or Thresholds(), has_served=has_served)


def promote(
    database: Database,
    version: Version,
    *,
    thresholds: Thresholds | None = None,
    force: bool = False,
    reason: str | None = None,
    gate: Gate | None = None,
    after: Version | None = None,
) -> Gate:
    """Makes a revision serve and records what the gate said; where it serves already nothing is checked or done.

    gate: what it has said already; after: what has to serve until then, None: anything. Raises NotFoundError, and
    ConflictError where the revision does not pass and is not forced, or where another serves than `after`.
    """
    active = active_revision(database)
    if active is not None and active.version == version:
        return Gate(str(version), ())
    gate = gate or judge_recorded(database, version, thresholds)
    if not force:
        gate.require()
    why = reason or gate.losses or None
    activate(database, version, forced=not gate.passes, reason=why, gate=gate.stored(), after=after)
    return gate
