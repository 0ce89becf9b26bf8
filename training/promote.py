"""May a model serve? Not if a baseline beats it on its own validation window, from the same events."""

from collections.abc import Iterator
from dataclasses import dataclass

from graph.snapshot import Snapshot
from graph.storage.errors import ConflictError
from training.evaluation.baselines import (
    Ranker,
    Recalled,
    fit_own_frequency,
    fit_popularity,
    fit_recent_popularity,
)
from training.evaluation.evaluate import Progress, Result, evaluate
from training.evaluation.protocols import AS_TRAINED
from training.evaluation.queries import Queries, Seen
from training.memories import Repeats
from training.memories_repeats import LearnedRepeats
from training.train import Learned

METRIC = "ndcg@10"


@dataclass(frozen=True)
class Verdict:
    """`results`: the model first, then the baselines, under the rule of the data (seen items in or out)."""

    seen: Seen
    results: list[Result]

    @property
    def model(self) -> float:
        return self.results[0].means[METRIC]

    @property
    def best(self) -> Result:
        """The strongest baseline."""
        return max(self.results[1:], key=lambda result: result.means[METRIC])

    @property
    def passes(self) -> bool:
        return self.model >= self.best.means[METRIC]

    @property
    def metrics(self) -> dict[str, float]:
        """For the manifest."""
        ours = {f"validation_{name}": value for name, value in self.results[0].means.items() if value == value}
        return ours | {f"validation_{METRIC}_best_baseline": self.best.means[METRIC]}

    def require(self) -> None:
        """Raises ConflictError when the model loses."""
        if not self.passes:
            raise ConflictError(
                f"The model loses on its validation window: {METRIC} {self.model:.4f}, "
                f"{self.best.model} has {self.best.means[METRIC]:.4f}. It is published but does not serve.",
                hint="Train longer or on more data; `penchant models activate --force` lets it serve all the same.",
                reason="MODEL_LOSES",
            )


def judge(learned: Learned, trained: Snapshot, validation: Queries, progress: Progress | None = None) -> Verdict:
    """The model and the baselines, all from the training part's events, on the validation queries."""
    seen: Seen = "exclude" if learned.exclude_seen else "include"
    rankers: list[Ranker] = [learned.mixture, *baselines(learned, trained)]
    return Verdict(seen, evaluate(validation, {AS_TRAINED: rankers}, seen=seen, progress=progress))


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
