"""`penchant refresh`: graph, item vectors, memories, users and segments of now, under the same weights and gate."""

import numpy as np

from graph.snapshot import Snapshot
from graph.storage.errors import ArtifactError
from training.artifact import Artifact
from training.artifact_publish import Revision
from training.mixture_build import Model, Stage, mixture_of, revision_of

POPULARITY_HALF_LIFE = "popularity_half_life_days"


def model_of(artifact: Artifact) -> Model:
    """What of a revision belongs to its model."""
    return Model(
        net=artifact.net,
        gate=artifact.gate,
        memories=artifact.memories,
        popularity_half_life_days=artifact.manifest.config.get(POPULARITY_HALF_LIFE),
        kinds=artifact.manifest.kinds,
        vector_space=artifact.manifest.vector_space,
        segments=artifact.segments,
    )


def refreshed(artifact: Artifact, snapshot: Snapshot, stage: Stage = lambda _: None) -> Revision:
    """The next revision of the artifact's model, as of `snapshot`. Raises ArtifactError for a store of other items."""
    check_same_store(artifact, snapshot)
    model = model_of(artifact)
    mixture = mixture_of(model, snapshot, stage)
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
