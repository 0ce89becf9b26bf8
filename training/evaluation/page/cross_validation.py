"""`penchant cross-validate`: all folds as a page."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from graph.storage.times import format_time
from training.evaluation.bootstrap import Difference, paired_bootstrap
from training.evaluation.by_length import METRIC, contenders
from training.evaluation.page.evaluation import (
    PROTOCOLS,
    asked,
    count,
    differences,
    intervals,
    lead,
    lengths,
    number,
    reach,
    recall,
)
from training.evaluation.page.sections import Page, Picture, Row, Section, Table
from training.evaluation.page.spread_pictures import draw_folds, draw_trend
from training.evaluation.page.style import signed
from training.evaluation.page.write import write_page
from training.evaluation.report import BOOTSTRAP_SEED, SHOWN, Report
from training.evaluation.spread import Spread, pooled, spreads

SPREAD_SHOWN = ("recall@10", "ndcg@10", "mrr@10", "coverage@10", "new_hits@10")


def write_cross_validation(reports: Sequence[Report], folder: Path) -> Path:
    """Returns the path of the page. `reports`: one a fold or window, in order, at least one."""
    whole = pooled(reports)
    over_time = "origin" in reports[0].settings
    how = f"{count(len(reports), 'window')} in time" if over_time else f"{count(len(reports), 'fold')} of users"
    subtitle = " · ".join([
        PROTOCOLS[whole.protocol][0], how, count(whole.users, "user"), format_time(reports[-1].created_at)
    ])  # fmt: skip
    some = (differences(whole), lengths(whole), recall(whole), reach(whole))
    sections = [
        _asked(reports, whole, over_time=over_time),
        _results(reports, over_time=over_time),
        _folds(reports, whole, over_time=over_time),
        *(section for section in some if section),
    ]
    return write_page(Page("Cross-validation", subtitle, lead(whole), sections), folder)


def _asked(reports: Sequence[Report], whole: Report, *, over_time: bool) -> Section:
    if over_time:
        what = (
            "Test windows follow each other in time. For each a model is learned from what lies before it, and judged "
            "on what users did in it; no window has taught the model that is judged on it, or an earlier one."
        )
        once = "Below, a user asked in several windows counts once, with the mean over them."
    else:
        what = (
            "Users are dealt into folds. For each a model is learned without its users: nothing of theirs is in the "
            "weights, the graph, the memories or the validation. Then they are asked, with their histories as inputs: "
            "what a model is worth to users whom it has never met."
        )
        once = "Below, all users stand together, each judged by the model that has not met them."
    first = asked(whole)
    facts = [fact for fact in first.facts if not over_time or not fact[0].startswith(("training", "test"))]
    return Section(first.title, [what, once], facts=[f for f in facts if f[0] != "model"], fold=first.fold)


def _results(reports: Sequence[Report], *, over_time: bool) -> Section:
    found = spreads(reports)
    ours = reports[0].rivals
    tables = []
    for column in dict.fromkeys(column for column, _ in found):
        models = [model for at, model in found if at == column]
        means = {metric: [found[column, model][metric].mean for model in models] for metric in SPREAD_SHOWN}
        best = {metric: max(filter(math.isfinite, values), default=None) for metric, values in means.items()}
        rows = []
        for model in models:
            figures = [found[column, model][metric] for metric in SPREAD_SHOWN]
            cells = [model, *map(_plus_minus, figures)]
            if over_time:
                cells.append(_trend(found[column, model][METRIC]))
            marked = {i for i, (f, m) in enumerate(zip(figures, SPREAD_SHOWN, strict=True), 1) if f.mean == best[m]}
            rows.append(Row(cells, frozenset(marked if len(models) > 1 else ()), ours=model in ours))
        trend = ["N@10 a window"] * over_time
        tables.append(Table([column, *(SHOWN[metric] for metric in SPREAD_SHOWN), *trend], rows))
    unit = "windows" if over_time else "folds"
    text = (
        f"Mean over {unit} ± standard deviation between them. R is Recall, N NDCG, of the whole catalog ranked; Cov is "
        "the share of the catalog in anybody's best 10, New the share of the hits that their user had never had. "
        "Bold: nobody has a higher mean."
    )
    if over_time:
        text += " The last column: what NDCG@10 gains from one window to the next (least squares)."
    return Section("Results", [text], tables=tables)


def _folds(reports: Sequence[Report], whole: Report, *, over_time: bool) -> Section:
    found = {key: metrics[METRIC] for key, metrics in spreads(reports).items()}
    ours = reports[0].rivals
    pairs = {
        column: [(column, result.model) for result in contenders(whole, column)]
        for column in dict.fromkeys(column for column, _ in found)
    }
    leads = _leads(reports, pairs)
    rows = []
    for place, report in enumerate(reports):
        for column, pair in pairs.items():
            values = [f"{report.users:,}", *(number(found[key].values[place]) for key in pair)]
            lead_on = intervals(leads[column][place]) if column in leads else ()
            window = [report.settings["test_start"][:10], report.settings["test_end"][:10]] if over_time else []
            rows.append(Row([str(place + 1), *window, column, *values, *lead_on]))
    names = ["window", "from", "to", "column"] if over_time else ["fold", "column"]
    beside = max(len(pair) for pair in pairs.values())
    whom = ["model", "best baseline"] if ours else ["best baseline", "second best"]
    head = [*names, "users", *whom[:beside], *(["difference", "95 % interval"] if leads else [])]
    if over_time:
        windows = [report.settings["test_start"][:10] for report in reports]
        picture = Picture(
            "trend.png",
            "NDCG@10 of each model, window after window, and the model's lead on the best baseline.",
            lambda path: draw_trend(found, ours, windows, leads, path),
        )
    else:
        picture = Picture(
            "folds.png", "NDCG@10 of each model, a dot for each fold.", lambda path: draw_folds(found, ours, path)
        )
    named = "; ".join(f"{column}: {pairs[column][1][1]}" for column in leads)
    text = [f"The best baseline is the one with the highest mean over all of them ({named})."] if named else []
    if not over_time:
        text.insert(0, "A dot is a fold, the line their mean, the band one standard deviation around it.")
    return Section(
        "Window by window" if over_time else "Fold by fold",
        text,
        pictures=[picture],
        tables=[Table(head, rows, names=len(names))],
    )


def _leads(reports: Sequence[Report], pairs: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, list[Difference]]:
    """By column, fold by fold: the first of the pair less the second."""
    leads: dict[str, list[Difference]] = {column: [] for column, pair in pairs.items() if len(pair) == 2}
    for report in reports:
        fold = {(r.column, r.model): r.per_user[METRIC] for r in report.results}
        for column, found in leads.items():
            found.append(paired_bootstrap(*(fold[key] for key in pairs[column]), seed=BOOTSTRAP_SEED))
    return leads


def _plus_minus(figures: Spread) -> str:
    if not math.isfinite(figures.mean):
        return "–"
    return f"{figures.mean:.4f}" + (f" ± {figures.sd:.4f}" if math.isfinite(figures.sd) else "")


def _trend(figures: Spread) -> str:
    return signed(figures.slope) if math.isfinite(figures.slope) else "–"
