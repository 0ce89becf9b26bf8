"""A model beside the one that is active: both as of the start of its validation window, asked what users did then.

The weights of the active model are used as they are, and everything else of it is counted from the same events as the
new model's. What it has learned from the window itself (its window may have ended later) speaks for it: the comparison
rather refuses a new model than that it lets a worse one through.
"""

from pathlib import Path

import numpy as np

from graph.arrays import Float64s, Int64s
from graph.ids import IdMap
from graph.snapshot import Snapshot
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import ArtifactError
from training.alignment import Alignment, align
from training.artifact import load_artifact
from training.evaluation.evaluate import Result, evaluate
from training.evaluation.protocols import AS_TRAINED
from training.evaluation.queries import Queries, Seen
from training.mixture import Mixture
from training.promotion_gate import Comparison
from training.refresh import model_ranker

ACTIVE = "active"
METRIC = "ndcg@10"


class Active:
    """The revision that serves while another model is trained, and its model as of the events before that one's window.

    Its folder may be broken or gone, or its weights of another store: `problem` says so, and there is no `mixture`.
    """

    def __init__(self, database: Database, root: Path, trained: Snapshot) -> None:
        self.revision = registry.active_revision(database)
        self.problem = ""
        self._mixture: Mixture | None = None
        if self.revision is not None:
            try:
                self._artifact = load_artifact(root / self.revision.path)
                self._mixture = model_ranker(self._artifact, trained)
            except ArtifactError as error:
                self.problem = str(error)

    def compared(self, ours: Result, validation: Queries, seen: Seen) -> Comparison | None:
        """Beside `ours`, which was asked the same; None where nothing is active."""
        if self.revision is None:
            return None
        version = str(self.revision.version)
        if self._mixture is None:
            return Comparison(version=version, problem=self.problem)
        return compare(version, ours, answers_of(self._mixture, validation, seen, ACTIVE))

    def align(self, mixture: Mixture, items: IdMap) -> Alignment | None:
        """How a new model's vectors are to be turned onto those that are served; None where they cannot be."""
        return None if self._mixture is None else align(mixture, self._mixture, items, self._artifact)


def answers_of(mixture: Mixture, validation: Queries, seen: Seen, column: str = AS_TRAINED) -> Result:
    (result,) = evaluate(validation, {column: [mixture]}, seen=seen)
    return result


def compare(version: str, ours: Result, theirs: Result) -> Comparison:
    """Two models that were asked the same; `version` is theirs."""
    return Comparison(
        version=version,
        requests=len(ours.top_items),
        ndcg=ours.means[METRIC],
        active_ndcg=theirs.means[METRIC],
        coverage=ours.coverage,
        active_coverage=theirs.coverage,
        overlap=float(overlap(ours.top_items, theirs.top_items).mean()),
    )


def overlap(ours: Int64s, theirs: Int64s) -> Float64s:
    """[B]: how much of each answer [k], -1 behind its end, the other has too."""
    shared = ((ours[:, :, None] == theirs[:, None, :]) & (ours >= 0)[:, :, None]).any(axis=2).sum(axis=1)
    return np.asarray(shared / np.maximum((ours >= 0).sum(axis=1), 1), np.float64)
