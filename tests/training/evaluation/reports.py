"""Reports as an evaluation would make them, from random numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from graph.arrays import Float64s
from training.evaluation.evaluate import Result
from training.evaluation.foretold import Foretold
from training.evaluation.metrics import CUTS
from training.evaluation.probabilities import ProbabilityQuality
from training.evaluation.protocols import AS_TRAINED, REFRESHED
from training.evaluation.report import Report, compare
from training.horizon import Horizon

OURS, BASELINES = "penchant", ("popularity", "own frequency", "EASE")


def random_report(
    *,
    users: int = 60,
    seed: int = 0,
    ours: str | None = OURS,
    baselines: Sequence[str] = BASELINES,
    columns: Sequence[str] = (AS_TRAINED, REFRESHED),
    settings: Mapping[str, object] | None = None,
    first_user: int = 0,
    new_hits: float = 0.25,
    config: Mapping[str, object] | None = None,
    probabilities: Mapping[str, ProbabilityQuality] | None = None,
) -> Report:
    random = np.random.default_rng(seed)
    models = [*([ours] if ours else []), *baselines]
    results = [_result(column, model, users, random, new_hits) for column in columns for model in models]
    rivals = [ours] if ours else []
    return Report(
        protocol="time",
        settings=settings or {"train_end": "2026-01-01T00:00:00Z", "test_start": "2026-02-01T00:00:00Z"},
        seen="include",
        users=users,
        data_hash="2:00",
        known_at=1_750_000_000_000_000,
        code_revision="abc",
        model="m1.1" if ours else None,
        seeds={"shuffle": None, "bootstrap": 0, "model": 0},
        created_at=1_760_000_000_000_000,
        results=results,
        comparisons=[c for result in results if result.model in rivals for c in compare(result, results, rivals)],
        config=config or {},
        rivals=tuple(rivals),
        events_before=random.integers(1, 400, users),
        asked=np.arange(first_user, first_user + users, dtype=np.int32),
        probabilities=[
            Foretold("refreshed", Horizon(28.0, kind), calibrated=True, quality=quality)
            for kind, quality in (probabilities or {}).items()
        ],
    )


def _result(column: str, model: str, users: int, random: np.random.Generator, new_hits: float) -> Result:
    rank = random.integers(1, 31, users)
    per_user: dict[str, Float64s] = {}
    for k in CUTS:
        hit = (rank <= k).astype(np.float64)
        gain = {"recall": hit, "ndcg": hit / np.log2(rank + 1), "mrr": hit / rank, "hit_rate": hit}
        per_user |= {f"{name}@{k}": values for name, values in gain.items()}
    curve = np.array([(rank <= k).mean() for k in range(1, max(CUTS) + 1)])
    return Result(column, model, per_user, 0.5, new_hits, 1.0, curve)
