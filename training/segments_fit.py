"""Finding segments: k-means on the directions of users' profiles, named by the categories they lean to.

Directions are taken from the mean user, so that what everybody likes groups nobody. The number of segments is the
largest among NUMBERS whose silhouette (Rousseeuw 1987) on a sample of users comes close to the best.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from graph.arrays import Float32s, Int64s
from graph.histories import Histories
from graph.memories.incidence import users_by_items
from graph.snapshot import Snapshot
from graph.taxonomy import Taxonomy, ancestors_matrix
from training.segments import CategoryLift, Segment, Segments, directions, no_segments

NUMBERS = (2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 20, 24)
CLOSE = 0.95
"""Of the best silhouette: where groups shade into one another many numbers do as well, and more say more."""
SAMPLE = 10_000
"""Users that k-means is fitted on; the others are only assigned."""
SILHOUETTE_SAMPLE = 2_000
USERS_A_SEGMENT = 5
FIRST_WEIGHT = 0.75
"""Users give this much to their first segment, on average: it sets how soft assignments are."""
SUPPORT = 0.05
"""A category names a segment only if this share of its members has been there."""
NAMED = 5


def find_segments(vectors: Float32s, histories: Histories, snapshot: Snapshot, *, model: str, seed: int) -> Segments:
    """`vectors` [U, dim], profiles; 0 for a user without history. The same seed finds the same segments.

    model: its name, by which its segments have other ids than another model's.
    """
    active = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 0)
    most = len(active) // USERS_A_SEGMENT
    if most < 2:
        return no_segments(vectors.shape[1])
    origin = vectors[active].mean(axis=0)
    random = np.random.default_rng(seed)
    sample = directions(vectors[random.permutation(active)[:SAMPLE]], origin)
    centers = _best_centers(sample, [n for n in NUMBERS if n <= most] or [most], seed)
    segments = Segments(
        segments=tuple(Segment(_id(model, n), "", 0, ()) for n in range(len(centers))),
        centers=centers,
        origin=origin,
        sharpness=_sharpness(sample @ centers.T),
        member_offsets=np.zeros(len(centers) + 1, np.int64),
        members=np.zeros(0, np.int32),
        member_weights=np.zeros(0, np.float32),
    )
    return _named(with_members(segments, vectors), histories, snapshot)


def with_members(segments: Segments, vectors: Float32s) -> Segments:
    """The same segments with the users of now: each user is a member of the first one, strongest users first."""
    weights = segments.assign(vectors)
    if not segments.segments:
        return segments
    first, weight = weights.argmax(axis=1), weights.max(axis=1)
    order = np.lexsort((np.arange(len(first)), -weight, first))
    order = order[weight[order] > 0]
    size = np.bincount(first[order], minlength=len(segments.segments))
    return replace(
        segments,
        segments=tuple(replace(s, size=int(n)) for s, n in zip(segments.segments, size, strict=True)),
        member_offsets=np.concatenate([[0], np.cumsum(size)]).astype(np.int64),
        members=order.astype(np.int32),
        member_weights=weight[order].astype(np.float32),
    )


def _best_centers(sample: Float32s, numbers: list[int], seed: int) -> Float32s:
    """Unit centers [S, dim] of the largest number of clusters whose silhouette is close to the best."""
    judged = sample[:SILHOUETTE_SAMPLE]
    found: list[tuple[float, Float32s]] = []
    for number in numbers:
        clusters = KMeans(number, n_init=4, random_state=seed).fit(sample)
        labels = clusters.labels_[: len(judged)]
        quality = silhouette_score(judged, labels) if 1 < len(np.unique(labels)) < len(judged) else -1.0
        found.append((quality, clusters.cluster_centers_))
    best = max(quality for quality, _ in found)
    centers = [centers for quality, centers in found if quality >= best - (1 - CLOSE) * abs(best)][-1]
    return directions(centers, np.zeros(centers.shape[1], np.float32))


def _sharpness(cosine: Float32s) -> float:
    """The factor at which the first weight is FIRST_WEIGHT on average, by bisection: it grows with the factor."""
    low, high = 0.1, 200.0
    for _ in range(40):
        middle = (low * high) ** 0.5
        weights = np.exp(middle * (cosine - cosine.max(axis=1, keepdims=True)))
        low, high = (middle, high) if (1 / weights.sum(axis=1)).mean() < FIRST_WEIGHT else (low, middle)
    return float(middle)


def _named(segments: Segments, histories: Histories, snapshot: Snapshot) -> Segments:
    if not len(snapshot.categories):
        return replace(
            segments, segments=tuple(replace(s, label=f"Group {n + 1}") for n, s in enumerate(segments.segments))
        )
    tree = Taxonomy.of(snapshot)
    owned = users_by_items(histories)
    within = ancestors_matrix(snapshot.item_category, snapshot.category_parent, len(snapshot.items)).astype(np.float32)
    events = sparse.csr_array(owned @ within)  # [U, C]: distinct items a user had below each category
    events_of_all = np.asarray(events.sum(axis=0)).ravel()
    found = []
    for number, segment in enumerate(segments.segments):
        members, _ = segments.members_of(number)
        lifts = _lifts(sparse.csr_array(events[members]), events_of_all, float(owned.nnz), float(owned[members].nnz))
        chosen = _distinct([c for c, _, _ in lifts], tree)
        figures = {c: (lift, share) for c, lift, share in lifts}
        ids = snapshot.categories.externals_of(np.array(chosen, np.int64))
        names = _names(snapshot.category_names, snapshot, chosen)
        categories = tuple(
            CategoryLift(external, name, *figures[c]) for c, external, name in zip(chosen, ids, names, strict=True)
        )
        label = " · ".join(names[:2]) or f"Group {number + 1}"
        found.append(replace(segment, label=label, categories=categories))
    return replace(segments, segments=tuple(found))


def _lifts(events: sparse.csr_array, of_all: Int64s, n_all: float, n_own: float) -> list[tuple[int, float, float]]:
    """(category, lift, share of the segment's items) with enough support, by what they add to its divergence."""
    users = np.bincount(events.indices, minlength=len(of_all))
    counts = np.asarray(events.sum(axis=0)).ravel()
    share, share_of_all = counts / max(n_own, 1), of_all / max(n_all, 1)
    lift = np.divide(share, share_of_all, out=np.ones_like(share, dtype=float), where=share_of_all > 0)
    supported = (users >= max(2, SUPPORT * events.shape[0])) & (lift > 1)
    gain = np.where(supported, share * np.log(np.maximum(lift, 1)), 0)
    order = np.lexsort((np.arange(len(gain)), -gain))
    return [(int(c), float(lift[c]), float(share[c])) for c in order if gain[c] > 0]


def _distinct(categories: list[int], tree: Taxonomy) -> list[int]:
    """The first few, none above or below another: 'Tea' says what 'Drinks > Tea' says."""
    chosen: list[int] = []
    for category in categories:
        above = set(tree.ancestors(category))
        if len(chosen) < NAMED and not any(c in above or category in tree.ancestors(c) for c in chosen):
            chosen.append(category)
    return chosen


def _names(names: pa.StringArray, snapshot: Snapshot, categories: list[int]) -> list[str]:
    return [names[c].as_py() or snapshot.categories.external[c].as_py() for c in categories]


def _id(model: str, number: int) -> str:
    return "s-" + hashlib.blake2b(f"{model}/profiles/{number}".encode(), digest_size=6).hexdigest()
