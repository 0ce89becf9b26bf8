"""A report back from its files, for pages and means over several of them."""

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from graph.storage.errors import BadInputError
from graph.storage.times import NEVER_US, format_time, parse_time
from training.evaluation.bootstrap import Difference
from training.evaluation.evaluate import Result
from training.evaluation.metrics import COVERAGE_CUT
from training.evaluation.report import Comparison, Report


def read_report(path: Path) -> Report:
    """From the JSON at `path` and the npz beside it, without probabilities. BadInputError for other files."""
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        with path.with_suffix(".npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            kept = dict(arrays)
        results = [_result(entry, kept) for entry in head.pop("results")]
        comparisons = [Comparison(**(c | {"difference": Difference(**c["difference"])})) for c in head["comparisons"]]
        return Report(
            **head
            | {
                "known_at": NEVER_US if head["known_at"] == format_time(NEVER_US) else parse_time(head["known_at"]),
                "created_at": parse_time(head["created_at"]),
                "results": results,
                "comparisons": comparisons,
                "rivals": tuple(head["rivals"]),
                "events_before": kept["events_before"],
                "asked": kept["asked"],
                "probabilities": (),
            }
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadZipFile) as error:
        raise BadInputError(
            f"{path} is no report of an evaluation ({error}).", hint="Delete it; it is made again."
        ) from error


def _result(entry: dict[str, Any], kept: dict[str, Any]) -> Result:
    column, model, means = entry["column"], entry["model"], entry["metrics"]
    once = {f"{name}@{COVERAGE_CUT}": means[f"{name}@{COVERAGE_CUT}"] for name in ("coverage", "new_hits")}
    coverage, new_hits = (float("nan") if value is None else value for value in once.values())
    return Result(
        column=column,
        model=model,
        per_user={metric: kept[f"{column}/{model}/{metric}"] for metric in means if metric not in once},
        coverage=coverage,
        new_hits=new_hits,
        seconds=entry["seconds"],
        recall_curve=np.array(entry["recall_curve"]),
    )
