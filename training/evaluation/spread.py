"""Several reports of one question as one: means and spreads over folds, and every user counted once."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graph.arrays import Float64s, Int64s
from training.evaluation.evaluate import Result
from training.evaluation.report import Report, as_json, compare

SUMMARY = "summary.json"


@dataclass(frozen=True)
class Spread:
    """One figure over folds. `sd` with n - 1 in the denominator, NaN for one fold.

    slope: least squares, what it gains from one fold to the next; says something where folds follow each other in time
    and there are three at least, else NaN.
    """

    values: tuple[float, ...]
    mean: float
    sd: float
    slope: float


def spread(values: Sequence[float]) -> Spread:
    """Folds without the figure (the share of new hits where nothing was hit) are left out."""
    known = np.array([value for value in values if math.isfinite(value)])
    nan = float("nan")
    return Spread(
        values=tuple(values),
        mean=float(known.mean()) if len(known) else nan,
        sd=float(known.std(ddof=1)) if len(known) > 1 else nan,
        slope=float(np.polyfit(np.arange(len(known)), known, 1)[0]) if 2 < len(known) == len(values) else nan,
    )


def spreads(reports: Sequence[Report]) -> dict[tuple[str, str], dict[str, Spread]]:
    """(column, model) -> metric -> its spread."""
    means = [{(r.column, r.model): r.means for r in report.results} for report in reports]
    return {
        key: {metric: spread([fold[key][metric] for fold in means]) for metric in metrics}
        for key, metrics in means[0].items()
    }


def pooled(reports: Sequence[Report]) -> Report:
    """One report over the users of all folds. Who was asked in several counts once, with the mean over them.

    So the bootstrap draws users, which is what there are many of: windows of one user resemble each other.
    """
    asked = np.concatenate([report.asked for report in reports])
    users, row = np.unique(asked, return_inverse=True)
    times = np.bincount(row)

    def mean(values: Sequence[Float64s | Int64s]) -> Float64s:
        return np.bincount(row, weights=np.concatenate(values)) / times

    results = []
    for place, first in enumerate(reports[0].results):
        parts = [report.results[place] for report in reports]
        weights = [report.users for report in reports]
        results.append(
            Result(
                column=first.column,
                model=first.model,
                per_user={metric: mean([part.per_user[metric] for part in parts]) for metric in first.per_user},
                coverage=spread([part.coverage for part in parts]).mean,
                new_hits=spread([part.new_hits for part in parts]).mean,
                seconds=sum(part.seconds for part in parts),
                recall_curve=np.average([part.recall_curve for part in parts], axis=0, weights=weights),
            )
        )
    rivals = reports[0].rivals
    return replace(
        reports[-1],
        users=len(users),
        results=results,
        comparisons=[c for ours in results if ours.model in rivals for c in compare(ours, results, rivals)],
        events_before=mean([report.events_before for report in reports]).round().astype(np.int64),
        asked=users,
    )


def summary(reports: Sequence[Report]) -> dict[str, Any]:
    """What `write_summary` writes; NaN as null."""
    whole = as_json(pooled(reports))
    same = ("protocol", "seen", "users", "known_at", "code_revision", "rivals", "comparisons")
    return {name: whole[name] for name in same} | {
        "folds": [{**report.settings, "users": report.users, "data_hash": report.data_hash} for report in reports],
        "results": [
            {
                "column": column,
                "model": model,
                "metrics": {metric: _finite(asdict(figures)) for metric, figures in metrics.items()},
            }
            for (column, model), metrics in spreads(reports).items()
        ],
    }


def write_summary(reports: Sequence[Report], folder: Path) -> Path:
    path = folder / SUMMARY
    path.write_text(json.dumps(summary(reports), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
