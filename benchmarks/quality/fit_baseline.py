"""A baseline of the evaluation, counted from the events of each column."""

from collections.abc import Iterator

from benchmarks.quality.about import About
from benchmarks.quality.plan import Job
from training.evaluation.baselines import BASELINES, Ranker
from training.evaluation.protocols import Split
from training.evaluation.queries import Seen


def fit_baseline(job: Job, split: Split, about: About) -> Iterator[tuple[str, dict[Seen, Ranker]]]:
    for column, events in split.columns.items():
        with about.measured():
            ranker = BASELINES[job.model](events)
        yield column, dict.fromkeys(job.seen, ranker)
