"""`penchant refresh`: graph, item vectors, memories, users and segments of now, under the same weights and gate."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch_geometric.data import HeteroData

from graph.snapshot import Snapshot
from graph.state.current import STATE, Say, current_graph
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import ArtifactError, NotFoundError
from training.artifact import Artifact, load_artifact
from training.artifact_publish import Revision, publish_revision
from training.mixture import Mixture
from training.mixture_build import Model, Stage, mixture_of, revision_of
from training.promotion import judge_recorded, promote
from training.promotion_gate import Gate

POPULARITY_HALF_LIFE = "popularity_half_life_days"


def model_of(artifact: Artifact) -> Model:
    """What of a revision belongs to its model. Raises ArtifactError for a ranker of another version of penchant."""
    artifact.require_ranker()
    return Model(
        net=artifact.net,
        gate=artifact.gate,
        memories=artifact.memories,
        popularity_half_life_days=artifact.manifest.config.get(POPULARITY_HALF_LIFE),
        kinds=artifact.manifest.kinds,
        vector_space=artifact.manifest.vector_space,
        segments=artifact.segments if artifact.segments.of_profiles else None,
        ranker=artifact.ranker,
        near=artifact.near,
        calibration=artifact.calibration,
        recency=artifact.recency,
        name=f"m{artifact.manifest.model}",
    )


def model_ranker(artifact: Artifact, column: Snapshot) -> Mixture:
    """The artifact's weights and gate over the events of another snapshot: a column of the evaluation.

    Users' inputs are whatever histories `scores` is given, in every column.
    """
    if artifact.manifest.snapshot_hash == column.content_hash:
        return artifact.mixture
    check_same_store(artifact, column)
    return mixture_of(model_of(artifact), column)


def refreshed(
    artifact: Artifact, snapshot: Snapshot, stage: Stage = lambda _: None, *, graph: HeteroData | None = None
) -> Revision:
    """The next revision of the artifact's model, as of `snapshot`, and of its `graph` where that has been built.

    Raises ArtifactError for a store of other items.
    """
    check_same_store(artifact, snapshot)
    model = model_of(artifact)
    mixture = mixture_of(model, snapshot, stage, graph=graph)
    manifest = artifact.manifest
    return revision_of(model, mixture, snapshot, config=manifest.config, metrics=manifest.metrics, stage=stage)


def check_same_store(artifact: Artifact, snapshot: Snapshot) -> None:
    """Weights belong to surrogate ids, which another store gives to other items."""
    place = snapshot.items.index_of_surrogate(artifact.items.surrogate)
    here = np.flatnonzero(place >= 0)
    known = snapshot.items.external.take(place[here]).equals(artifact.items.external.take(here))
    if not known or len(here) < len(artifact.items) / 2:
        raise ArtifactError(
            f"{artifact.path} was made from another store: its items have other ids here.",
            hint="Train a model on this store with `penchant train`, or point --database at the old one.",
        )


class Refreshed(NamedTuple):
    """`gate`: what it said, where it was asked to let the revision serve."""

    version: registry.Version
    path: Path
    gate: Gate | None = None
    is_active: bool = False


def refresh(
    database: Database,
    root: Path,
    *,
    version: registry.Version | None = None,
    activate: bool = True,
    stage: Stage = lambda _: None,
    say: Say = lambda _: None,
) -> Refreshed:
    """Publishes the next revision of `version`'s model (default: the active one) from all events of the store.

    What serves goes on to serve, also where it was forced once; a `version` that is named has to pass the gate. What
    was activated or rolled back meanwhile is left alone. The graph is counted on from what the last refresh kept in
    `root`/.graph; `say` is told when that cannot be used. Raises NotFoundError when nothing is active and no version is
    given, ArtifactError when its folder is broken, and ConflictError, after publishing, when another was activated.
    """
    old = registry.active_revision(database) if version is None else registry.get_revision(database, version)
    if old is None:
        raise NotFoundError("No model is active yet.", hint="Train one with `penchant train`.")
    stage("artifact")
    artifact = load_artifact(root / old.path)
    stage("snapshot")
    current = current_graph(database, root / STATE, say=say)
    snapshot = current.snapshot
    revision = refreshed(artifact, snapshot, stage, graph=current.graph)
    stage("publish")
    following = registry.next_version(database, old.version.model)
    path = publish_revision(root, following.model, following.revision, revision)
    registry.add_revision(
        database,
        following.model,
        path=path.name,
        as_of=snapshot.as_of,
        known_at=snapshot.known_at,
        snapshot_hash=snapshot.content_hash,
        metrics=revision.metrics,
        version=following,
        comparison=old.comparison,
    )
    if not activate:
        return Refreshed(following, path)
    gate, was_serving = judge_recorded(database, following), None if version is not None else old.version
    if version is None or gate.passes:
        promote(database, following, force=version is None, gate=gate, after=was_serving)
        return Refreshed(following, path, gate, is_active=True)
    return Refreshed(following, path, gate)
