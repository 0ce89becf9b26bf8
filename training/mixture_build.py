"""A model and a snapshot make a mixture: weights, gate and settings are learned once, all else is counted anew.

snapshot ─ graph ─ net ─> item vectors ┐
         └ histories ───> memories     ├─> Mixture ─> Revision (what `artifact_publish` writes)
model ─── weights, gate, settings ─────┘
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch_geometric.data import HeteroData

from graph.arrays import Float32s
from graph.build import build_graph
from graph.features.encoder import FeatureEncoder, add_features
from graph.histories import histories_of
from graph.memories.pace import Pace, pace_of
from graph.schema import CATEGORY, ITEM
from graph.snapshot import Snapshot
from graph.stand_ins import novelty
from graph.storage.errors import ArtifactError
from graph.taxonomy import ancestors_matrix
from training.artifact_manifest import KindEntry
from training.artifact_publish import Revision
from training.aversion import NEAR
from training.calibration import Calibration
from training.fast.cells import cells_where_many
from training.gate import Gate
from training.interest_weights import supported
from training.memories import Memory
from training.memories_fit import popular, refit
from training.mixture import Mixture
from training.mixture_net import NetSource, item_vectors_of
from training.model import InterestNet
from training.new_items import lend_memory, lend_vectors, stand_ins_of
from training.prior import log_prior
from training.profiles import profiles
from training.ranker import Ranker
from training.ranker_features import ItemFacts, facts_of
from training.recency import ALIKE, Recency
from training.segments import Segments
from training.segments_fit import find_segments, with_members

Stage = Callable[[str], None]
"""Told the name of each stage as it begins, for progress."""


@dataclass(frozen=True)
class Model:
    """What outlives a revision. Of `memories` only the settings are used, of `segments` all but the members."""

    net: InterestNet
    gate: Gate
    memories: tuple[Memory, ...]
    popularity_half_life_days: float | None
    kinds: tuple[KindEntry, ...]
    vector_space: str
    segments: Segments | None = None
    ranker: Ranker | None = None
    near: float = NEAR
    calibration: Calibration = field(default_factory=Calibration)
    recency: Recency = ALIKE
    name: str = ""
    """Such as m7; known once the model is published."""


def kinds_of(snapshot: Snapshot) -> tuple[KindEntry, ...]:
    return tuple(
        KindEntry(name=k.name, weight=k.weight, sign=k.sign, half_life_days=k.half_life_days) for k in snapshot.kinds
    )


def graph_of(snapshot: Snapshot, encoder: FeatureEncoder | None, graph: HeteroData | None = None) -> HeteroData:
    """The graph with surrogate ids as `node_id`: by these the net finds its rows, however the index space has grown.

    encoder: that of the training window, where the net reads features of the catalog.
    graph: the snapshot's, where it has been built already.
    """
    graph = build_graph(snapshot) if graph is None else graph
    if encoder is not None:
        add_features(graph, snapshot, encoder)
    graph[ITEM].node_id = torch.from_numpy(snapshot.items.surrogate.copy())
    graph[CATEGORY].node_id = torch.from_numpy(snapshot.categories.surrogate.copy())
    return graph


def mixture_of(
    model: Model, snapshot: Snapshot, stage: Stage = lambda _: None, *, graph: HeteroData | None = None
) -> Mixture:
    """The model as of the snapshot. ArtifactError if its event kinds are not those that the net learned."""
    check_kinds(model.kinds, snapshot)
    stage("graph")
    graph = graph_of(snapshot, model.net.encoder, graph)
    stage("item vectors")
    histories = histories_of(snapshot)
    pace = pace_of(histories)
    lent = stand_ins_of(snapshot, pace, model.net.encoder)
    vectors = lend_vectors(item_vectors_of(model.net, graph), lent)
    prior = log_prior(pace.ever, model.net.config.popularity_prior, novelty(pace, snapshot.item_exists))
    stage("memories")
    return Mixture(
        net=NetSource(model.net, vectors, prior),
        memories=tuple(lend_memory(memory, lent) for memory in refit(model.memories, snapshot)),
        popularity=popular(histories, snapshot.as_of, model.popularity_half_life_days),
        gate=model.gate,
        facts=item_facts(snapshot, pace, vectors),
        ranker=model.ranker,
        near=model.near,
        recency=model.recency,
    )


def item_facts(snapshot: Snapshot, pace: Pace, vectors: Float32s) -> ItemFacts:
    """What the ranker looks up of each item: how it sells, the net's vectors, the snapshot's catalog."""
    return facts_of(pace, vectors, snapshot.item_category, snapshot.category_parent)


def check_kinds(learned: Sequence[KindEntry], snapshot: Snapshot) -> None:
    """The net numbers event kinds by their place: new ones may follow, none may move."""
    before, now = [kind.name for kind in learned], [kind.name for kind in snapshot.kinds[: len(learned)]]
    if now != before:
        raise ArtifactError(
            f"The model learned the event kinds {', '.join(before)}; the store has {', '.join(now)}.",
            hint="Train a new model with `penchant train`.",
        )


def revision_of(
    model: Model,
    mixture: Mixture,
    snapshot: Snapshot,
    *,
    config: dict[str, Any],
    metrics: dict[str, float],
    seed: int = 0,
    stage: Stage = lambda _: None,
) -> Revision:
    """Everything that a revision's folder holds. A model without segments gets them found here."""
    histories, net = histories_of(snapshot), mixture.net
    stage("user vectors")
    users, weights = supported(mixture.net.users(histories), mixture.net.vectors, histories)
    stage("segments")
    single = profiles(mixture.net.vectors, histories)
    if model.segments is None:
        segments = find_segments(single, histories, snapshot, model=model.name, seed=seed)
    else:
        segments = with_members(model.segments, single)
    return Revision(
        items=snapshot.items,
        categories=snapshot.categories,
        users=snapshot.users,
        item_names=snapshot.item_names,
        item_available=snapshot.item_available,
        category_names=snapshot.category_names,
        category_parent=snapshot.category_parent,
        item_categories=item_categories_of(snapshot),
        item_vectors=mixture.net.vectors,
        category_vectors=category_vectors_of(mixture, snapshot),
        user_vectors=users,
        user_weights=weights,
        popularity=mixture.popularity,
        memories=mixture.memories,
        gate=mixture.gate,
        ranker=mixture.ranker,
        pace=mixture.facts.pace,
        novelty=novelty(mixture.facts.pace, snapshot.item_exists),
        calibration=model.calibration,
        cells=cells_where_many(net.vectors, net.prior, net.temperature),
        user_cells=cells_where_many(users.reshape(-1, users.shape[2])),
        segments=segments,
        kinds=model.kinds,
        as_of=snapshot.as_of,
        known_at=snapshot.known_at,
        snapshot_hash=snapshot.content_hash,
        vector_space=model.vector_space,
        config=config,
        metrics=metrics,
    )


def category_vectors_of(mixture: Mixture, snapshot: Snapshot) -> Float32s:
    """[C, dim]: the normalised mean of the items below each category, weighted by how popular they are; 0 for none."""
    below = ancestors_matrix(snapshot.item_category, snapshot.category_parent, len(snapshot.items)).astype(np.float32)
    total = sparse.csr_array(below).T @ (mixture.net.vectors * mixture.popularity[:, None])
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def item_categories_of(snapshot: Snapshot) -> sparse.csr_array:
    item, category = snapshot.item_category
    shape = (len(snapshot.items), len(snapshot.categories))
    return sparse.coo_array((np.ones(len(item), np.float32), (item, category)), shape=shape).tocsr()
