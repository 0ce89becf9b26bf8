"""Where a model wins and where it loses: users by the length of their history, the model beside the best baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graph.arrays import Int64s
from training.evaluation.bootstrap import Difference, paired_bootstrap
from training.evaluation.evaluate import Result
from training.evaluation.report import BOOTSTRAP_SEED, Report

METRIC = "ndcg@10"
MOST_BUCKETS = 9
_STEPS = np.array([1, 2, 3, 4, 5, 7, 10, 15])
EDGES = np.unique(np.concatenate([_STEPS, *(_STEPS[_STEPS >= 2] * 10**power for power in range(1, 7))]))
"""Where a bucket may begin: 1, 2, 3, 4, 5, 7, 10, 15, 20, 30, …"""


@dataclass(frozen=True)
class Bucket:
    """Users with `low` to `high` events before they are asked. `difference` is ours - theirs, None without both."""

    low: int
    high: int
    users: int
    means: Sequence[float]  # of each contender
    difference: Difference | None

    @property
    def label(self) -> str:
        return f"{self.low:,}" if self.low == self.high else f"{self.low:,}–{self.high:,}"


def contenders(report: Report, column: str) -> list[Result]:
    """What the report is about, then the best baseline; where it is about none, the best two."""
    results = [r for r in report.results if r.column == column]
    ours = [r for r in results if r.model in report.rivals][:1]
    others = sorted((r for r in results if r.model not in report.rivals), key=lambda r: -r.means[METRIC])
    return [*ours, *others[: 2 - len(ours)]]


def by_length(report: Report, column: str) -> list[Bucket]:
    """At most MOST_BUCKETS buckets, from the shortest histories to the longest, each of a fair share of the users."""
    values = [result.per_user[METRIC] for result in contenders(report, column)]
    buckets = []
    for low, high in spans(report.events_before):
        rows = (report.events_before >= low) & (report.events_before <= high)
        difference = paired_bootstrap(*(v[rows] for v in values), seed=BOOTSTRAP_SEED) if len(values) == 2 else None
        buckets.append(Bucket(low, high, int(rows.sum()), [float(v[rows].mean()) for v in values], difference))
    return buckets


def spans(lengths: Int64s) -> list[tuple[int, int]]:
    """First and last length of each bucket: round numbers, no bucket of less than 1/MOST_BUCKETS of the users."""
    if not len(lengths):
        return []
    place = np.searchsorted(EDGES, np.maximum(lengths, 1), side="right") - 1
    counts = np.bincount(place, minlength=len(EDGES))
    starts, held = [], 0
    for edge in np.flatnonzero(counts).tolist():
        if not held:
            starts.append(int(EDGES[edge]))
        held += int(counts[edge])
        if held * MOST_BUCKETS >= len(lengths):
            held = 0
    if held and len(starts) > 1:  # what is left over at the end joins its neighbour
        starts.pop()
    starts[0] = int(lengths.min())
    return list(zip(starts, [*(start - 1 for start in starts[1:]), int(lengths.max())], strict=True))
