"""Models, labels and what the gate said of them, as messages of the contract."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penchant.v1 import model_pb2 as pb

from graph.storage.database import Database
from graph.storage.labels import STABLE, Label, labels
from graph.storage.registry import Activation, Revision, Version, activations, active_revision
from server.convert import struct, timestamp
from training.config import NetConfig
from training.promotion_gate import Check, Gate

SHOWN_REVISIONS = 100
VERDICTS = {
    "passed": pb.GATE_VERDICT_PASSED,
    "failed": pb.GATE_VERDICT_FAILED,
    "skipped": pb.GATE_VERDICT_SKIPPED,
}


@dataclass(frozen=True)
class Said:
    """What the store says of revisions now: which is active, when each became so last, and what labels name."""

    active: str
    activations: Mapping[Version, Activation]
    labels: Sequence[Label]

    @classmethod
    def of(cls, database: Database) -> "Said":
        active = active_revision(database)
        newest = {each.version: each for each in activations(database)}
        return cls(str(active.version) if active else "", newest, labels(database))


def model_message(number: int, newest_first: Sequence[Revision], said: Said) -> pb.Model:
    first = newest_first[-1]
    return pb.Model(
        id=f"m{number}",
        vector_space=first.vector_space,
        dim=NetConfig.model_construct(**first.config.get("net", {})).vector_dim,
        trained_at=timestamp(first.created_at),
        config=struct(first.config),
        revisions=[_revision(each, said) for each in newest_first[:SHOWN_REVISIONS]],
    )


def label_message(label: Label) -> pb.Label:
    return pb.Label(name=label.name, version=str(label.version), share=label.share, set_at=timestamp(label.set_at))


def check_message(check: Check) -> pb.GateCheck:
    return pb.GateCheck(
        name=check.name,
        verdict=VERDICTS[check.verdict],
        value=check.value,
        least=check.least,
        most=check.most,
        reason=check.reason,
    )


def _revision(revision: Revision, said: Said) -> pb.ModelRevision:
    metrics = {name: float(value) for name, value in revision.metrics.items()}
    version = str(revision.version)
    activation = said.activations.get(revision.version)
    return pb.ModelRevision(
        version=version,
        active=version == said.active,
        as_of=timestamp(revision.as_of),
        known_at=timestamp(revision.known_at),
        published_at=timestamp(revision.created_at),
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
        labels=[
            *([STABLE] if version == said.active else []),
            *(label.name for label in said.labels if label.version == revision.version),
        ],
        last_activation=None if activation is None else _activation(activation),
    )


def _activation(activation: Activation) -> pb.Activation:
    gate = Gate.read(str(activation.version), activation.gate)
    return pb.Activation(
        activated_at=timestamp(activation.activated_at),
        rollback=activation.is_rollback,
        forced=activation.forced,
        reason=activation.reason or "",
        checks=[check_message(each) for each in gate.checks],
    )
