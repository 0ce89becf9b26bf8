"""Text (a title, a description): hashed words and pairs of words, weighted by rarity, reduced by truncated SVD.

Latent semantic analysis (Deerwester et al., 1990) over feature hashing (Weinberger et al., 2009): no vocabulary has to
be kept, and a word that the training window never had weighs nothing.
"""

from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.utils.extmath import randomized_svd

from graph.arrays import Bools, Float32s
from graph.features.state import Kept
from graph.features.values import Kind, Values, text_of
from graph.storage.errors import BadInputError

BUCKETS = 2**15
RANK = 64
_WORDS = HashingVectorizer(n_features=BUCKETS, ngram_range=(1, 2), alternate_sign=False, norm=None, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Text(Kept):
    """`weight` float32 [BUCKETS], the inverse document frequency; `components` float32 [BUCKETS, R], scaled."""

    kind: ClassVar[Kind] = "text"
    weight: Float32s
    components: Float32s

    @property
    def width(self) -> int:
        return int(self.components.shape[1])

    @classmethod
    def fit(cls, name: str, values: Values) -> Self:
        """Raises BadInputError where all texts are the same, or there is none."""
        counts = _counts(values)
        counts = counts[np.diff(counts.indptr) > 0]
        items = np.bincount(counts.indices, minlength=BUCKETS)
        different = int(((items > 0) & (items < counts.shape[0])).sum())
        if different == 0:
            said = "say the same in" if counts.shape[0] else "have no words in"
            raise BadInputError(f"All items of the training window {said} {name!r}.", hint="Leave it out.")
        # A bucket of one item tells nothing of others, but that the text is long.
        shared = items >= min(2, counts.shape[0] - 1)
        weight = np.where(shared, np.log(counts.shape[0] / np.maximum(items, 1)), 0).astype(np.float32)
        rank = max(1, min(RANK, different, counts.shape[0] - 1))
        weighted = _weighted(counts, weight)
        components = randomized_svd(weighted, rank, random_state=0)[2].T.astype(np.float32)
        reduced = weighted @ components
        scale = np.sqrt(max(float((reduced**2).sum(axis=1).mean()), 1e-12))
        return cls(weight, components / np.float32(scale))

    def __call__(self, values: Values) -> tuple[Float32s, Bools]:
        """float32 [I, R], 0 for an item without a word that is known; bool [I], which have one."""
        weighted = _weighted(_counts(values), self.weight)
        known = np.asarray(weighted.sum(axis=1)).ravel() > 0
        return np.asarray(weighted @ self.components, np.float32), known


def _counts(values: Values) -> sparse.csr_array:
    if not len(values):
        return sparse.csr_array((0, BUCKETS), dtype=np.float32)
    return sparse.csr_array(_WORDS.transform([text_of(value) for value in values]))


def _weighted(counts: sparse.csr_array, weight: Float32s) -> sparse.csr_array:
    """1 + log of the counts, times the weights, in rows of unit length."""
    data = (1 + np.log(counts.data)) * weight[counts.indices]
    weighted = sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)
    norm = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    weighted.data /= np.repeat(np.maximum(norm, 1e-12), np.diff(weighted.indptr)).astype(np.float32)
    return weighted
