"""How a trained model does on its validation window, beside baselines from the same events: what the gate reads."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from graph.snapshot import Snapshot
from training.calibration import Calibration
from training.evaluation.baselines import (
    Ranker,
    Recalled,
    fit_own_frequency,
    fit_popularity,
    fit_recent_popularity,
)
from training.evaluation.evaluate import Progress, Result, evaluate
from training.evaluation.metrics import COVERAGE_CUT
from training.evaluation.protocols import AS_TRAINED
from training.evaluation.queries import Queries, Seen
from training.memories import Repeats
from training.memories_repeats import LearnedRepeats
from training.promotion_gate import BEST_BASELINE, CALIBRATION, COVERAGE
from training.train import Learned

METRIC = "ndcg@10"


@dataclass(frozen=True)
class Verdict:
    """`results`: the model first, then the baselines, under the rule of the data (seen items in or out).

    catalog: how many items were candidates.
    """

    seen: Seen
    results: list[Result]
    catalog: int
    calibration: Calibration

    @property
    def best(self) -> Result:
        """The strongest baseline."""
        return max(self.results[1:], key=lambda result: result.means[METRIC])

    @property
    def metrics(self) -> dict[str, float]:
        """For the manifest."""
        ours = {f"validation_{name}": value for name, value in self.results[0].means.items() if value == value}
        possible = min(1.0, len(self.results[0].top_items) * COVERAGE_CUT / max(1, self.catalog))
        told = {BEST_BASELINE: self.best.means[METRIC], COVERAGE: self.results[0].coverage / possible}
        ratio = observed_over_expected(self.calibration)
        return ours | told | ({} if ratio is None else {CALIBRATION: ratio})


def observed_over_expected(calibration: Calibration) -> float | None:
    """Of the horizon that is furthest off; None where none was measured."""
    found = [each.measured.get("observed_over_expected") for each in calibration.calibrators]
    known = [ratio for ratio in found if ratio is not None]
    return max(known, key=lambda ratio: abs(math.log(max(ratio, 1e-9))), default=None)


def judge(learned: Learned, trained: Snapshot, validation: Queries, progress: Progress | None = None) -> Verdict:
    """The model and the baselines, all from the training part's events, on the validation queries."""
    seen: Seen = "exclude" if learned.exclude_seen else "include"
    rankers: list[Ranker] = [learned.mixture, *baselines(learned, trained)]
    results = evaluate(validation, {AS_TRAINED: rankers}, seen=seen, progress=progress)
    return Verdict(seen, results, int(validation.catalog.sum()), learned.model.calibration)


def baselines(learned: Learned, trained: Snapshot) -> Iterator[Ranker]:
    """What is popular, what users had most often, and each item-to-item memory alone as the model has set it.

    Learned repeats are no baseline but a part of the model, and where users repeat they are nearly all of it.
    """
    yield fit_popularity(trained)
    yield fit_recent_popularity(trained)
    if not learned.exclude_seen:
        yield fit_own_frequency(trained)
    share = learned.mixture.popularity
    for memory in learned.mixture.memories:
        if not isinstance(memory, LearnedRepeats | Repeats):
            yield Recalled(memory.name, memory.recall, share)
