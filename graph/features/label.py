"""A string of few values (a colour, a size), or a list of such: one column a label that the training window knows."""

from collections import Counter
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import pyarrow as pa

from graph.arrays import Bools, Float32s, Int64s
from graph.features.state import Kept
from graph.features.values import ITEMS_A_LABEL, MOST_LABELS, Kind, Values, labels_of
from graph.hashing import hash_strings
from graph.storage.errors import BadInputError


@dataclass(frozen=True, eq=False)
class Label(Kept):
    """`labels` int64 [L], ascending: hashes, so that the state is numbers alone."""

    kind: ClassVar[Kind] = "label"
    labels: Int64s

    @property
    def width(self) -> int:
        return len(self.labels)

    @classmethod
    def fit(cls, name: str, values: Values) -> Self:
        """The commonest labels; what a handful of items have tells nothing of others. BadInputError below two."""
        counts = Counter(label for value in values for label in set(labels_of(value)))
        common = [label for label, n in counts.most_common(MOST_LABELS) if n >= min(ITEMS_A_LABEL, len(values) // 2)]
        if len(common) < 2:
            raise BadInputError(
                f"The items of the training window share {len(common)} labels in {name!r}, two are the least.",
                hint=f"Leave it out, or read it otherwise, e.g. {name}:text.",
            )
        return cls(np.sort(_hashes(common)))

    def __call__(self, values: Values) -> tuple[Float32s, Bools]:
        """float32 [I, L], rows of unit length, 0 for an item without a known label; bool [I], which have one."""
        listed = [labels_of(value) for value in values]
        row = np.repeat(np.arange(len(listed)), [len(labels) for labels in listed])
        hashes = _hashes([label for labels in listed for label in labels])
        place = np.minimum(np.searchsorted(self.labels, hashes), len(self.labels) - 1)
        found = self.labels[place] == hashes
        x = np.zeros((len(listed), self.width), np.float32)
        x[row[found], place[found]] = 1
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.maximum(norm, 1), norm[:, 0] > 0


def _hashes(labels: list[str]) -> Int64s:
    return hash_strings(pa.array(labels, pa.string())).view(np.int64)
