"""A vector computed elsewhere (of a text, of a picture): centred, on one scale, reduced where it is wide."""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from sklearn.decomposition import PCA

from graph.arrays import Bools, Float32s
from graph.features.state import Kept
from graph.features.values import Kind, Values
from graph.storage.errors import BadInputError

WIDEST = 128
"""Wider vectors are reduced to so many principal components."""


@dataclass(frozen=True, eq=False)
class Vector(Kept):
    """A vector v [D] becomes (v - centre [D]) · components [D, R]."""

    kind: ClassVar[Kind] = "vector"
    centre: Float32s
    components: Float32s

    @property
    def width(self) -> int:
        return int(self.components.shape[1])

    @classmethod
    def fit(cls, name: str, values: Values) -> Self:
        """Raises BadInputError where the vectors are none, differ in length, are not finite or all the same."""
        found = [value for value in values if isinstance(value, np.ndarray)]
        lengths = sorted({len(value) for value in found})
        if len(lengths) != 1:
            said = f"have {' and '.join(map(str, lengths[:5]))} numbers" if found else "are no lists of numbers"
            raise BadInputError(f"The vectors in {name!r} {said}; all must have the same length.")
        vectors = np.stack(found)
        if not np.isfinite(vectors).all():
            raise BadInputError(
                f"A vector in {name!r} has gaps, or numbers beyond the range of float32.", hint="Mend the catalog."
            )
        centre = vectors.mean(axis=0)
        vectors = vectors - centre
        rank = min(WIDEST, *vectors.shape)
        if rank < vectors.shape[1]:
            pca = PCA(rank, svd_solver="randomized", random_state=0).fit(vectors)
            components = pca.components_.T.astype(np.float32)
        else:
            components = np.eye(rank, dtype=np.float32)
        length = np.sqrt(float(((vectors @ components) ** 2).sum(axis=1).mean()))
        if not length > 1e-12:
            raise BadInputError(
                f"All items of the training window have the same vector in {name!r}.", hint="Leave it out."
            )
        return cls(centre, components / np.float32(length))

    def __call__(self, values: Values) -> tuple[Float32s, Bools]:
        """float32 [I, R], 0 for an item without; bool [I]. What has another length or is not finite counts as missing:
        one broken row of the catalog must not keep a shop from refreshing."""
        size = len(self.centre)
        known = np.array(
            [isinstance(v, np.ndarray) and len(v) == size and bool(np.isfinite(v).all()) for v in values], np.bool_
        )
        x = np.zeros((len(values), self.width), np.float32)
        if known.any():
            x[known] = (
                np.stack([values[place] for place in np.flatnonzero(known).tolist()]) - self.centre
            ) @ self.components
        return x, known
