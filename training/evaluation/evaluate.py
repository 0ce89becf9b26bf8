"""Asks rankers the questions of a split and keeps every user's metrics."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from graph.arrays import Bools, Float64s, Int64s
from graph.threads import in_threads
from training.evaluation.answers import Answers
from training.evaluation.baselines import Ranker
from training.evaluation.guard import chosen_again, require_same_again
from training.evaluation.metrics import COVERAGE_CUT, TopRanks, per_user, recall_curve, require_finite, top_ranks
from training.evaluation.queries import Queries, Seen

CHUNK_CELLS = 20_000_000
"""Scores of a piece of work: 80 MB, whatever the catalog; as many pieces are held as there are threads."""

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, eq=False)
class Result:
    """One ranker in one column. per_user: metric -> float64 `[B]`, users in the order of the queries."""

    column: str
    model: str
    per_user: dict[str, Float64s]
    coverage: float  # share of the catalog that is in some user's best 10
    new_hits: float  # share of the hits among the best 10 that are new to their user; NaN without hits
    seconds: float
    recall_curve: Float64s  # mean recall among the best 1, 2, …
    top_items: Int64s = field(default_factory=lambda: np.zeros((0, COVERAGE_CUT), np.int64))
    """`[B, COVERAGE_CUT]`, each user's best, -1 where there are fewer; no report keeps them."""

    @property
    def means(self) -> dict[str, float]:
        return {name: float(values.mean()) for name, values in self.per_user.items()} | {
            f"coverage@{COVERAGE_CUT}": self.coverage,
            f"new_hits@{COVERAGE_CUT}": self.new_hits,
        }


def evaluate(
    queries: Queries,
    rankers_by_column: Mapping[str, Iterable[Ranker | Answers]],
    *,
    seen: Seen,
    progress: Progress | None = None,
) -> list[Result]:
    """Full ranking of all candidates for every query. BadInputError for scores that are not finite, of another shape,
    or others when the same is asked again.

    Rankers may come from a generator, one alive at a time. `progress` is told the queries done and their number.
    """
    asked = queries.under(seen)
    results = []
    for column, rankers in rankers_by_column.items():
        for ranker in rankers:
            results.append(_judge(asked, ranker, column, seen, progress))
            del ranker  # a generator's next one is made without this one in memory
    return results


def _judge(queries: Queries, ranker: Ranker | Answers, column: str, seen: Seen, progress: Progress | None) -> Result:
    start = time.perf_counter()
    rows = max(1, CHUNK_CELLS // max(1, len(queries.catalog)))

    again = chosen_again(len(queries))
    kept = np.zeros((len(again), len(queries.catalog)), np.float32)

    def judged(begin: int) -> TopRanks:
        # A copy of the inputs alone: a ranker can neither see a label nor change what the next one is asked.
        chunk = queries.select(np.arange(begin, min(begin + rows, len(queries))))
        given = chunk.histories.select(np.arange(len(chunk)))
        if isinstance(ranker, Answers):
            scores = ranker.scores_for(chunk.users)
        else:
            scores = np.array(ranker.scores(given, chunk.now_us.copy()), dtype=np.float32)
        require_finite(scores, (len(chunk), len(queries.catalog)), ranker.name)
        here = np.flatnonzero((again >= begin) & (again < begin + rows))
        kept[here] = scores[again[here] - begin]
        ranked = top_ranks(scores, _excluded(chunk, seen), chunk.relevance)
        return TopRanks(ranked.row + begin, ranked.item, ranked.rank, ranked.top_items)

    ranks: list[TopRanks] = []
    for part in in_threads(judged, range(0, len(queries), rows)):
        ranks.append(part)
        if progress is not None:
            progress(min(len(ranks) * rows, len(queries)), len(queries))
    if not isinstance(ranker, Answers):
        require_same_again(ranker.scores, queries, again, kept, ranker.name)
    every = TopRanks(*(np.concatenate([getattr(part, name) for part in ranks]) for name in TopRanks.__match_args__))
    hits = every.rank <= COVERAGE_CUT
    new = ~queries.had(every.row[hits], every.item[hits])
    shown = np.unique(every.top_items[every.top_items >= 0])
    relevant = np.diff(queries.relevance.indptr)
    return Result(
        column=column,
        model=ranker.name,
        per_user=per_user(every, relevant),
        coverage=len(shown) / max(1, int(queries.catalog.sum())),
        new_hits=float(new.mean()) if len(new) else float("nan"),
        seconds=time.perf_counter() - start,
        recall_curve=recall_curve(every, relevant),
        top_items=every.top_items,
    )


def _excluded(queries: Queries, seen: Seen) -> Bools:
    """bool `[B, V]`, or `[1, V]` where all users have the same candidates."""
    absent: Bools = ~queries.catalog[None, :]
    if seen == "include":
        return absent
    excluded = np.repeat(absent, len(queries), axis=0)
    excluded[queries.histories.row_of, queries.histories.item] = True
    return excluded
