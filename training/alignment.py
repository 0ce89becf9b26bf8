"""A new model's vectors are turned onto those of the model that was active: what consumers keep stays of use.

    min over orthogonal R of  Σ_i w_i |v_i R - u_i|²      v new, u old, w events of item i      (orthogonal Procrustes)

Two trainings agree on what is like what and not on where it points: a net's space has no axes of its own. R is a part
of the new net and turns all that leaves it, items and users alike, so that no cosine within the model changes. What is
left is the residual, sqrt(Σ w |v R - u|² / Σ w |u|²): 0 where both are the same but for a turn, √2 where they have
nothing in common. It is measured on items that R was not fitted on: of few items any two sets can be turned onto each
other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.linalg import orthogonal_procrustes

from graph.arrays import Float32s, Float64s
from graph.hashing import hash_strings
from graph.ids import IdMap
from training.artifact import Artifact
from training.mixture import Mixture
from training.model import InterestNet

ALIGNMENT = "alignment"
"""Where a model's config says what it was turned onto, and what was left."""
MOST = 0.6
"""The residual up to which vectors keep the name of their space: |v R - u| of .6 is a cosine of .82."""
ITEMS_A_DIMENSION = 2
"""With fewer items that both models know nothing is turned."""
_SAME = 1e-5


@dataclass(frozen=True, eq=False)
class Alignment:
    """`rotation` float32 [dim, dim], for vectors as rows; None where the new vectors lie on the old ones already."""

    rotation: Float32s | None
    version: str
    vector_space: str
    items: int
    residual: float

    def __str__(self) -> str:
        found = f"vectors turned onto those of {self.version} over {self.items:,} items: residual {self.residual:.3f}"
        return f"{found}, " + (
            f"still {self.vector_space}" if self.keeps_space else f"above {MOST}: a space of its own"
        )

    @property
    def keeps_space(self) -> bool:
        return self.residual <= MOST

    @property
    def settings(self) -> Mapping[str, Any]:
        """For the manifest."""
        return {"version": self.version, "items": self.items, "residual": round(self.residual, 4)}


def align(mixture: Mixture, theirs: Mixture, items: IdMap, old: Artifact) -> Alignment | None:
    """The turn of a model onto a published one, `old`; `theirs` is that one as of the same events, over the same items.

    None where dimensions differ or they share too few items with events.
    """
    vectors, onto = mixture.net.vectors, theirs.net.vectors
    if vectors.shape[1] != onto.shape[1]:
        return None
    weight = mixture.facts.pace.ever.astype(np.float64)
    known = old.items.index_of(items.external) >= 0
    both = np.flatnonzero(known & (weight > 0) & vectors.any(axis=1) & onto.any(axis=1))
    if len(both) < ITEMS_A_DIMENSION * vectors.shape[1]:
        return None
    v, u, w = vectors[both], onto[both], weight[both]
    # By a hash of what the shop calls them: the halves are random, and the same in every run.
    half = hash_strings(items.external.take(both)) % 2 == 0
    away = np.zeros(len(both))
    for mine in (half, ~half):
        away[mine] = ((v[mine] @ procrustes(v[~mine], u[~mine], w[~mine]) - u[mine]) ** 2).sum(axis=1)
    residual = float(np.sqrt((w * away).sum() / (w * (u**2).sum(axis=1)).sum()))
    rotation = procrustes(v, u, w)
    is_there = np.allclose(rotation, np.eye(len(rotation)), atol=_SAME)
    return Alignment(None if is_there else rotation, old.version, old.manifest.vector_space, len(both), residual)


def procrustes(vectors: Float32s, onto: Float32s, weight: Float64s) -> Float32s:
    """The orthogonal R [dim, dim] for which `vectors` R [n, dim] come nearest to `onto` [n, dim]; `weight` [n]."""
    root = np.sqrt(weight)[:, None]
    rotation, _ = orthogonal_procrustes(vectors * root, onto * root)
    return np.asarray(rotation, np.float32)


def turned(net: InterestNet, rotation: Float32s | None) -> InterestNet:
    """The net with all its vectors turned; the one given stays as it is."""
    if rotation is None:
        return net
    return InterestNet.from_state(net.config, {**net.state_dict(), "rotation": torch.from_numpy(rotation)})
