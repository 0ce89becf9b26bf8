"""How good the approximate index is right now: every few minutes its answers are held to the exact ones.

The questions are vectors of the catalog itself, always those of the same rows, so that a figure that moves has moved
because the index did. Random directions would be no question that anybody asks: in 128 dimensions nothing is near them.
"""

import time
from collections.abc import Callable

import numpy as np
import structlog
from numpy.typing import NDArray

from graph.storage.errors import ArtifactError
from server.index import ExactIndex, Index
from server.reload import Models
from server.repeating import Repeating
from server.revision import Revision

QUESTIONS = 20
NEAREST = 100
SEED = 1
EVERY_S = 300.0
LOOK_S = 5.0
"""How often it looks whether another revision answers, which is probed at once."""
ROUNDING = 1e-5
"""Cosines closer than this are a tie, in which either row is right."""

log = structlog.get_logger("penchant.server")


class RecallProbe(Repeating):
    """A thread that tells `found` the recall of an index by name, in [0, 1]."""

    def __init__(self, models: Models, found: Callable[[str, float], None]) -> None:
        super().__init__("probe-index", self._look, every_s=LOOK_S, what="probe the index")
        self._models = models
        self._found = found
        self._probed, self._next_s = "", 0.0

    def _look(self) -> None:
        try:
            revision = self._models.current().revision
        except ArtifactError:
            return
        if revision.version != self._probed or time.monotonic() >= self._next_s:
            self._probe(revision)
            self._probed, self._next_s = revision.version, time.monotonic() + EVERY_S

    def _probe(self, revision: Revision) -> None:
        users = revision.artifact.user_vectors
        spaces = {
            "items": (revision.items, revision.artifact.item_vectors),
            "users": (revision.users, users.reshape(-1, users.shape[-1])),
        }
        for name, (index, vectors) in spaces.items():
            try:
                recall = recall_of(index, vectors)
            except Exception as error:  # whatever it is, calls are answered all the same
                log.error("cannot probe the index", index=name, exc_info=error)
                continue
            if recall is not None:
                self._found(name, recall)


def recall_of(
    index: Index, vectors: NDArray[np.float32], *, questions: int = QUESTIONS, nearest: int = NEAREST
) -> float | None:
    """Share of the exact `nearest` rows that `index`, which is of `vectors` [N, dim], finds; None where all are zero.

    One question at a time: N cosines are all that it takes of memory.
    """
    exact = ExactIndex(vectors)
    present = np.flatnonzero(vectors.any(axis=1))
    if not len(present):
        return None
    random = np.random.default_rng(SEED)
    shares = []
    for row in random.choice(present, min(questions, len(present)), replace=False):
        question = vectors[row : row + 1]
        _, wanted = exact.search(question, nearest)
        found, _ = index.search(question, nearest)
        cosines = (vectors[np.unique(found)] @ question.T).ravel()
        shares.append(min(1.0, (cosines >= wanted[0, -1] - ROUNDING).sum() / wanted.shape[1]))
    return float(np.mean(shares))
