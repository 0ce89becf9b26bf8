"""Segments: groups of users with like interests, found at training time, that any user vector can be placed in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.artifact_arrays import read_array, read_json, read_starts, write_array, write_json
from training.artifact_manifest import broken


@dataclass(frozen=True)
class CategoryLift:
    """How much more of a segment's events fall into a category than of everybody's."""

    category: str
    name: str
    lift: float
    share: float


@dataclass(frozen=True)
class Segment:
    id: str
    """Opaque and stable over a model's revisions; never a position."""
    label: str
    size: int
    categories: tuple[CategoryLift, ...]


@dataclass(frozen=True)
class Segments:
    """`centers` float32 [S, dim] of unit length, directions seen from `origin` [dim], the mean user.

    Member lists are as of the revision, strongest first:
    `member_offsets` int64 [S + 1], `members` int32 (index of the user in the artifact), `member_weights` float32.
    """

    segments: tuple[Segment, ...]
    centers: NDArray[np.float32]
    origin: NDArray[np.float32]
    sharpness: float
    member_offsets: NDArray[np.int64]
    members: NDArray[np.int32]
    member_weights: NDArray[np.float32]
    of_profiles: bool = True
    """Found among profiles (profiles.py); in revisions of 0.1.0 among user vectors."""

    def assign(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """How much a user belongs to each segment: `vectors` [B, dim] -> weights [B, S] that sum to 1.

        softmax(sharpness * cosine), the posterior of a von Mises-Fisher mixture with equal priors. A zero vector (a
        user of whom nothing is known) belongs to none: its row is 0.
        """
        vectors = np.asarray(vectors, dtype=np.float32)
        cosine: NDArray[np.float32] = directions(vectors, self.origin) @ self.centers.T
        if not self.segments:
            return cosine
        weights = np.exp(self.sharpness * (cosine - cosine.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        known = np.linalg.norm(vectors, axis=1, keepdims=True) > 0
        return np.where(known, weights, 0).astype(np.float32)

    def members_of(self, segment: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Indices and weights of a segment's members, strongest first."""
        part = slice(self.member_offsets[segment], self.member_offsets[segment + 1])
        return self.members[part], self.member_weights[part]


def one_vector(vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Interests [B, K, dim] and their weights [B, K] as one vector a user [B, dim], of unit length or 0."""
    mean = np.einsum("bkd,bk->bd", vectors, weights)
    return np.asarray(mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def directions(vectors: NDArray[np.float32], origin: NDArray[np.float32]) -> NDArray[np.float32]:
    """Unit vectors [B, dim] from `origin` to the users."""
    away = vectors - origin
    return np.asarray(away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12), dtype=np.float32)


def no_segments(dim: int) -> Segments:
    nothing = np.zeros(0, np.float32)
    centers, origin = np.zeros((0, dim), np.float32), np.zeros(dim, np.float32)
    return Segments((), centers, origin, 1.0, np.zeros(1, np.int64), np.zeros(0, np.int32), nothing)


def write_segments(folder: Path, segments: Segments) -> None:
    content = {
        "sharpness": segments.sharpness,
        "of_profiles": segments.of_profiles,
        "segments": [
            {"id": s.id, "label": s.label, "size": s.size, "categories": [vars(c) for c in s.categories]}
            for s in segments.segments
        ],
    }
    write_json(folder / "segments.json", content)
    for name in _ARRAYS:
        write_array(folder / f"segment_{name}.npy", getattr(segments, name))


def read_segments(folder: Path, dim: int, n_users: int) -> Segments:
    path = folder / "segments.json"
    content: dict[str, Any] = read_json(path)
    try:
        found = tuple(
            Segment(s["id"], s["label"], s["size"], tuple(CategoryLift(**c) for c in s["categories"]))
            for s in content["segments"]
        )
        sharpness, of_profiles = float(content["sharpness"]), bool(content.get("of_profiles", False))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(path, f"is not a list of segments ({error})") from error
    shapes: dict[str, tuple[int | None, ...]] = {
        "centers": (len(found), dim),
        "origin": (dim,),
        "members": (None,),
        "member_weights": (None,),
    }
    arrays = {name: read_array(folder / f"segment_{name}.npy", shape=shape) for name, shape in shapes.items()}
    arrays["member_offsets"] = read_starts(folder / "segment_member_offsets.npy", len(found))
    members = arrays["members"]
    if len(members) != len(arrays["member_weights"]) or len(members) != arrays["member_offsets"][-1]:
        raise broken(folder / "segment_members.npy", "does not fit its offsets and weights")
    if len(members) and (members.min() < 0 or members.max() >= n_users):
        raise broken(folder / "segment_members.npy", "names users that the revision does not have")
    return Segments(found, sharpness=sharpness, of_profiles=of_profiles, **arrays)


_ARRAYS = ("centers", "origin", "member_offsets", "members", "member_weights")
