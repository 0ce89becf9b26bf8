"""`penchant evaluate --report`: one run as a page."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from graph.storage.registry import parse_version
from graph.storage.times import format_time
from training.artifact_manifest import model_folder
from training.curves import CURVES
from training.evaluation.bootstrap import Difference
from training.evaluation.by_length import METRIC, by_length, contenders
from training.evaluation.page.differences import draw_differences
from training.evaluation.page.lengths import draw_lengths
from training.evaluation.page.probabilities import probability_sections
from training.evaluation.page.reach import draw_reach
from training.evaluation.page.recall import draw_recall
from training.evaluation.page.sections import Page, Picture, Row, Section, Table
from training.evaluation.page.style import signed
from training.evaluation.page.write import write_page
from training.evaluation.report import COMPARED, SHOWN, Report

PROTOCOLS = {
    "time": ("Global time split", "everybody is asked at one moment what they do in the window after it"),
    "leave-one-out": ("Leave one out", "everybody is asked for their last event, from all events of theirs before it"),
}
ORDERS = {"published": "as in the source", "shuffled": "the items of a day shuffled with a fixed seed"}
RULES = {"include": "candidates like all others", "exclude": "no candidates, and not counted as wanted"}


def write_evaluation(report: Report, folder: Path, artifacts: Path | None = None) -> Path:
    """Returns the path of the page. artifacts: where training has left the model's learning curves."""
    sections = [asked(report), Section("Results", text=[HOW_TO_READ], tables=result_tables(report))]
    sections += [s for s in (differences(report), lengths(report), recall(report), reach(report)) if s]
    sections += probability_sections({str(foretold): foretold.quality for foretold in report.probabilities})
    if artifacts and report.model and (curves := curves_of(artifacts, report.model)).is_file():
        sections.append(learning(curves))
    subtitle = f"{PROTOCOLS[report.protocol][0]} · {count(report.users, 'user')} · {format_time(report.created_at)}"
    return write_page(
        Page(f"Evaluation of {report.model or 'the baselines'}", subtitle, lead(report), sections), folder
    )


HOW_TO_READ = (
    "Every item of the catalog is ranked. Recall is the share of the wanted items among the best k, NDCG counts high "
    "ranks more, MRR is 1 / rank of the first hit, Hit the share of users with any; means over users. Cov is the share "
    "of the catalog in anybody's best 10, New the share of the hits that their user had never had. As trained: all "
    "from the training part. Refreshed: the same weights, everything else from all events before the test; baselines "
    "get the same events. Bold: nobody in the column is better."
)


def lead(report: Report) -> str:
    """The answer in one sentence: the newest column, beside the best baseline."""
    if not report.results:
        return "Nothing was evaluated."
    column = report.results[-1].column
    first, *others = contenders(report, column)
    value = first.means[METRIC]
    if first.model not in report.rivals:
        return f"The best baseline is {first.model}: NDCG@10 {value:.4f}, {column}."
    if not others:
        return f"{first.model} has NDCG@10 {value:.4f}, {column}; there is no baseline beside it."
    theirs = others[0].means[METRIC]
    where = f"{column[0].upper()}{column[1:]}, {first.model} reaches NDCG@10 {value:.4f}"
    beside = f"the best baseline, {others[0].model}, {theirs:.4f}"
    pair = (column, first.model, others[0].model, METRIC)
    found = [c.difference for c in report.comparisons if (c.column, c.model, c.baseline, c.metric) == pair]
    if not found:
        return f"{where}; {beside}."
    share = f" ({signed(100 * (value / theirs - 1), '+.1f')} %)" if theirs else ""
    luck = "is beyond luck" if found[0].sign else "may be luck"
    mean, interval = intervals(found[0])
    return f"{where}; {beside}. The difference of {mean}{share}, 95 % interval {interval}, {luck}."


def asked(report: Report) -> Section:
    name, question = PROTOCOLS[report.protocol]
    settings = dict(report.settings)
    facts = [("protocol", f"{name}: {question}")]
    if "order" in settings:
        facts.append(("order", ORDERS.get(settings["order"], settings["order"])))
    if "folds" in settings:
        facts.append(("folds", f"{settings['folds']}, dealt with seed {settings['fold_seed']}"))
    for key, label in (("train_end", "training ends"), ("test_start", "test begins"), ("test_end", "test ends")):
        if key in settings:
            facts.append((label, settings[key]))
    facts += [
        ("items had before", RULES[report.seen]),
        ("users asked", f"{report.users:,}"),
        ("model", report.model or "none"),
        ("data hash", report.data_hash),
        ("known at", format_time(report.known_at)),
        ("code revision", report.code_revision),
        ("seeds", ", ".join(f"{k} {'–' if v is None else v}" for k, v in report.seeds.items())),
        ("evaluated", format_time(report.created_at)),
    ]
    return Section("What was asked", facts=facts, fold=configuration(report.config))


def configuration(config: Mapping[str, Any]) -> tuple[str, str] | None:
    if not config:
        return None
    return "Settings that the model was trained with", json.dumps(config, indent=2, ensure_ascii=False, default=str)


def result_tables(report: Report) -> list[Table]:
    tables = []
    for column in dict.fromkeys(r.column for r in report.results):
        section = [r for r in report.results if r.column == column]
        means = [r.means for r in section]
        highest = {metric: _highest([m[metric] for m in means]) for metric in SHOWN}
        rows = [
            Row(
                [result.model, *(number(mean[metric]) for metric in SHOWN), f"{result.seconds:,.1f}"],
                frozenset(i for i, metric in enumerate(SHOWN, 1) if mean[metric] == highest[metric]),
                ours=result.model in report.rivals,
            )
            for result, mean in zip(section, means, strict=True)
        ]
        tables.append(Table([column, *SHOWN.values(), "seconds"], rows))
    return tables


def differences(report: Report) -> Section | None:
    if not report.comparisons:
        return None
    found = {(c.column, c.model, c.baseline, c.metric): c.difference for c in report.comparisons}
    rows = [
        Row([*pair, *(text for metric in COMPARED for text in intervals(found[(*pair, metric)]))])
        for pair in dict.fromkeys((c.column, c.model, c.baseline) for c in report.comparisons)
    ]
    head = ["column", "model", "against", "NDCG@10", "95 % interval", "Recall@10", "95 % interval"]
    return Section(
        "Differences",
        text=[
            "The model less each baseline, on the same users. The bars are 95 % intervals of a paired bootstrap over "
            "users: green, ahead beyond luck; red, behind beyond luck; grey, neither."
        ],
        pictures=[
            Picture(
                "differences.png",
                "Forest plot of the differences between the model and each baseline; the table below has the numbers.",
                lambda path: draw_differences(report.comparisons, path),
            )
        ],
        tables=[Table(head, rows, names=3)],
    )


def lengths(report: Report) -> Section | None:
    panels = []
    rows: list[Row] = []
    for column in dict.fromkeys(r.column for r in report.results):
        names, buckets = [r.model for r in contenders(report, column)], by_length(report, column)
        panels.append((column, names, buckets))
        for bucket in buckets:
            means = [number(mean) for mean in bucket.means]
            difference = intervals(bucket.difference) if bucket.difference else ()
            rows.append(Row([column, bucket.label, f"{bucket.users:,}", *means, *difference]))
    if not rows:
        return None
    # The best baseline may be another one in each column; the picture names it.
    pair = ["model", "best baseline"] if report.rivals else ["best baseline", "second best"]
    beside = len(panels[0][1]) > 1
    head = ["column", "events before", "users", *pair[: len(panels[0][1])], *(["difference", "95 % interval"] * beside)]
    return Section(
        "Short and long histories",
        text=[
            "NDCG@10 of users grouped by how many events they had before they were asked, beside the best baseline of "
            "the column: where the model wins, and where it does not."
        ],
        pictures=[
            Picture(
                "lengths.png",
                "NDCG@10 by length of history, and the difference between model and best baseline with its interval.",
                lambda path: draw_lengths(panels, path),
            )
        ],
        tables=[Table(head, rows, names=1)],
    )


def recall(report: Report) -> Section | None:
    if not report.results:
        return None
    return Section(
        "Recall by depth",
        text=["Share of the wanted items among the best k, of at most k; mean over users."],
        pictures=[
            Picture(
                "recall.png",
                "Recall at k for k from 1 to 20, a curve for each model.",
                lambda path: draw_recall(report, path),
            )
        ],
    )


def reach(report: Report) -> Section | None:
    if not report.results:
        return None
    columns = list(dict.fromkeys(r.column for r in report.results))
    line = f" Bars: {columns[-1]}; the line across: {columns[0]}." if len(columns) > 1 else ""
    return Section(
        "Coverage and new items",
        text=["A ranking that shows everybody the same covers little; one that only repeats finds nothing new." + line],
        pictures=[
            Picture(
                "reach.png",
                "Coverage of the catalog and share of new hits of each model.",
                lambda path: draw_reach(report, path),
            )
        ],
    )


def curves_of(artifacts: Path, version: str) -> Path:
    return model_folder(artifacts, parse_version(version).model) / CURVES


def learning(curves: Path) -> Section:
    def copy(path: Path) -> None:
        if path.resolve() != curves.resolve():
            shutil.copyfile(curves, path)

    return Section(
        "Learning curves",
        text=["Training loss and NDCG@10 on validation queries, epoch by epoch. None of it has seen the test."],
        pictures=[Picture("learning-curves.png", "Training loss and validation NDCG@10 over epochs.", copy, 66)],
    )


def _highest(values: Sequence[float]) -> float | None:
    """None where there is nothing to choose between."""
    known = sorted(value for value in values if math.isfinite(value))
    return known[-1] if known and known[0] < known[-1] else None


def count(n: int, what: str) -> str:
    return f"{n:,} {what}" + "s" * (n != 1)


def number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def intervals(difference: Difference) -> tuple[str, str]:
    """The mean, and from where to where."""
    return signed(difference.mean), f"{signed(difference.low)} to {signed(difference.high)}"
