"""One table on the screen, one file per run on disk, and the differences that are more than luck."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from graph.arrays import Int32s, Int64s
from graph.storage.times import format_time, now_us
from training.code_revision import git_revision
from training.evaluation.bootstrap import Difference, paired_bootstrap
from training.evaluation.evaluate import Result
from training.evaluation.foretold import TOP, Foretold
from training.evaluation.probabilities import as_json as quality_as_json
from training.evaluation.protocols import Split
from training.evaluation.queries import Seen

COMPARED = ("ndcg@10", "recall@10")
BOOTSTRAP_SEED = 0
TEST_READS = "test-reads.jsonl"
ARRAYS = ("events_before", "asked")
SHOWN = {
    "recall@5": "R@5", "recall@10": "R@10", "recall@20": "R@20", "ndcg@5": "N@5", "ndcg@10": "N@10", "ndcg@20": "N@20",
    "mrr@10": "MRR@10", "hit_rate@10": "Hit@10", "coverage@10": "Cov@10", "new_hits@10": "New@10",
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """Ours - theirs in one column and metric, with its 95 % interval over users."""

    column: str
    model: str
    baseline: str
    metric: str
    difference: Difference


@dataclass(frozen=True)
class Report:
    """Everything that a number needs to be quoted: protocol, data, code, the model's settings, seeds, date."""

    protocol: str
    settings: Mapping[str, Any]
    seen: Seen
    users: int
    data_hash: str
    known_at: int
    code_revision: str
    model: str | None
    seeds: Mapping[str, int | None]
    created_at: int
    results: Sequence[Result]
    comparisons: Sequence[Comparison]
    config: Mapping[str, Any] = field(default_factory=dict)
    rivals: Sequence[str] = ()  # the names of the results that the report is about; the others are baselines
    events_before: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    """`[users]`: how many events each user's history has, in the order of `Result.per_user`."""
    asked: Int32s = field(default_factory=lambda: np.zeros(0, np.int32))
    """`[users]`: their indices in the snapshot."""
    probabilities: Sequence[Foretold] = ()


def make_report(
    split: Split,
    results: Sequence[Result],
    *,
    seen: Seen,
    model: str | None = None,
    model_seed: int | None = None,
    rivals: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
    probabilities: Sequence[Foretold] = (),
) -> Report:
    """`rivals` are the names of the results to compare with all others of their column, the model's usually.

    `config`: what the model was trained with.
    """
    asked = split.test.under(seen)
    return Report(
        protocol=split.protocol,
        settings=dict(split.settings),
        seen=seen,
        users=len(next(iter(results[0].per_user.values()))) if results else 0,
        data_hash=split.data_hash,
        known_at=split.refreshed.known_at,
        code_revision=git_revision(),
        model=model,
        seeds={"shuffle": split.settings.get("shuffle_seed"), "bootstrap": BOOTSTRAP_SEED, "model": model_seed},
        created_at=now_us(),
        results=results,
        comparisons=[c for ours in results if ours.model in rivals for c in compare(ours, results, rivals)],
        config=config or {},
        rivals=tuple(rivals),
        events_before=asked.histories.lengths,
        asked=asked.users,
        probabilities=probabilities,
    )


def write_report(report: Report, folder: Path) -> Path:
    """NAME.json with means and intervals, NAME.npz with every user's metrics. Returns the path of the JSON.

    A line in TEST_READS says that the test was read once more, by which code and with which settings: whoever reads it
    often and keeps the best has tuned on it, and here it shows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = format_time(report.created_at).replace(":", "").replace("-", "")
    name = "-".join(filter(None, [report.protocol, report.settings.get("order"), report.seen, report.model, stamp]))
    path, number = folder / f"{name}.json", 1
    while path.exists():
        number += 1
        path = folder / f"{name}-{number}.json"
    save_report(report, path)
    note_reading(report, path)
    return path


def save_report(report: Report, path: Path) -> None:
    """The JSON at `path` and the npz beside it. A JSON that is there is whole, and so is what it belongs to."""
    columns = {f"{r.column}/{r.model}/{metric}": v for r in report.results for metric, v in r.per_user.items()}
    whose = {name: getattr(report, name) for name in ARRAYS}
    np.savez_compressed(path.with_suffix(".npz"), **whose, **columns)  # type: ignore[arg-type]  # numpy's own keyword might be among the names
    beside = path.with_name(path.name + ".tmp")
    beside.write_text(json.dumps(as_json(report), indent=2, allow_nan=False) + "\n", encoding="utf-8")
    beside.replace(path)


def note_reading(report: Report, path: Path) -> None:
    """One more line in the TEST_READS beside the report at `path`."""
    read = {k: v for k, v in as_json(report).items() if k not in ("results", "comparisons", "probabilities")}
    note_test_read(path.parent, read | {"report": path.name})


def note_test_read(folder: Path, read: Mapping[str, Any]) -> None:
    """One more line in the log of all readings of the test: what was asked, by which code, with which settings."""
    with (folder / TEST_READS).open("a", encoding="utf-8") as log:
        log.write(json.dumps(read, allow_nan=False) + "\n")


def as_json(report: Report) -> dict[str, Any]:
    head = {k: v for k, v in vars(report).items() if k not in ("results", "comparisons", "probabilities", *ARRAYS)}
    return head | {
        "rivals": list(report.rivals),
        "known_at": format_time(report.known_at),
        "created_at": format_time(report.created_at),
        "results": [
            {
                "column": r.column,
                "model": r.model,
                "seconds": round(r.seconds, 2),
                "metrics": {k: v if math.isfinite(v) else None for k, v in r.means.items()},
                "recall_curve": [round(value, 6) for value in r.recall_curve.tolist()],
            }
            for r in report.results
        ],
        "comparisons": [asdict(c) for c in report.comparisons],
        "probabilities": [
            {"column": f.column, **asdict(f.horizon), "calibrated": f.calibrated, **quality_as_json(f.quality)}
            for f in report.probabilities
        ],
    }


def table_of(report: Report) -> Table:
    """Rows are models, a section for each column; the best of a section is bold."""
    order = f", {report.settings['order']} order" if "order" in report.settings else ""
    table = Table(
        title=f"{report.protocol}{order}, seen items {report.seen}d, {report.users:,} users",
        caption="R = Recall, N = NDCG; Cov = share of the catalog shown, New = share of hits new to the user, both @10",
    )
    table.add_column("model")
    for label in SHOWN.values():
        table.add_column(label, justify="right")
    for column in dict.fromkeys(r.column for r in report.results):
        section = [r for r in report.results if r.column == column]
        means = [r.means for r in section]
        best = {metric: max(m[metric] for m in means) for metric in SHOWN}
        table.add_row(f"[italic]{column}[/]")
        for result, mean in zip(section, means, strict=True):
            cells = (_cell(mean[metric], bold=mean[metric] == best[metric]) for metric in SHOWN)
            table.add_row(f"  {result.model}", *cells)
        table.add_section()
    return table


def probability_table(report: Report) -> Table:
    """One row a horizon and column: the worst bins, and what a yes at the threshold is worth."""
    table = Table(
        title=f"Probabilities of each user's best {TOP}, users included who then did nothing",
        caption="O/E = observed over expected, least and most of ten bins of equal mass; threshold from validation",
    )
    table.add_column("column")
    table.add_column("probability of")
    figures = "pairs", "base rate", "log-loss", "base rate's", "O/E", "AUC", "threshold", "precision", "recall", "F1"
    for label in figures:
        table.add_column(label, justify="right")
    for each in report.probabilities:
        q, said = each.quality, each.quality.confusion
        ratio = q.reliability.ratio[np.isfinite(q.reliability.ratio)]
        table.add_row(
            each.column,
            f"{each.horizon}{'' if each.calibrated else ', not calibrated'}",
            f"{q.pairs:,}",
            f"{q.base_rate:.4f}",
            f"{q.log_loss:.4f}",
            f"{q.base_rate_log_loss:.4f}",
            f"{ratio.min():.2f} – {ratio.max():.2f}" if len(ratio) else "–",
            *(_cell(v, bold=False) for v in (q.roc.auc, said.threshold, said.precision, said.recall, said.f1)),
        )
    return table


def comparison_table(report: Report) -> Table:
    table = Table(title="Differences with 95 % intervals (paired bootstrap over users)")
    for label in ("column", "model", "against", *COMPARED):
        table.add_column(label, justify="right" if label in COMPARED else "left")
    pairs = dict.fromkeys((c.column, c.model, c.baseline) for c in report.comparisons)
    found = {(c.column, c.model, c.baseline, c.metric): c.difference for c in report.comparisons}
    for pair in pairs:
        table.add_row(*pair, *(_interval(found[(*pair, metric)]) for metric in COMPARED))
    return table


def compare(ours: Result, results: Sequence[Result], rivals: Sequence[str]) -> list[Comparison]:
    return [
        Comparison(
            ours.column,
            ours.model,
            theirs.model,
            metric,
            paired_bootstrap(ours.per_user[metric], theirs.per_user[metric], seed=BOOTSTRAP_SEED),
        )
        for theirs in results
        if theirs.column == ours.column and theirs.model not in rivals
        for metric in COMPARED
    ]


def _cell(value: float, *, bold: bool) -> str:
    text = f"{value:.4f}" if math.isfinite(value) else "–"
    return f"[bold]{text}[/]" if bold else text


def _interval(difference: Difference) -> str:
    colour = ("yellow", "green", "red")[difference.sign]
    return f"[{colour}]{difference.mean:+.4f}[/] [{difference.low:+.4f}, {difference.high:+.4f}]"
