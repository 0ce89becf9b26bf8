"""How much of the catalog users get to see, and how much of what was right they had never had."""

import math
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from training.evaluation.metrics import COVERAGE_CUT
from training.evaluation.page.style import FAINT, OURS, PALE, columns_of, new_figure, percent, plain, save
from training.evaluation.report import Report

SHOWN = {
    f"coverage@{COVERAGE_CUT}": f"share of the catalog in anybody's best {COVERAGE_CUT}",
    f"new_hits@{COVERAGE_CUT}": "share of the hits that are new to their user",
}


def draw_reach(report: Report, path: Path) -> None:
    """Bars of the newest column, a mark where the other one ends."""
    columns = list(dict.fromkeys(r.column for r in report.results))
    names = list(dict.fromkeys(r.model for r in report.results))
    figure = new_figure(0.95 + 0.3 * len(names))
    panels = columns_of(figure, list(SHOWN.values()), sharey=True)[0]
    for axes, metric in zip(panels, SHOWN, strict=True):
        known = [r.means[metric] for r in report.results if math.isfinite(r.means[metric])]
        for y, name in enumerate(names):
            value = {r.column: r.means[metric] for r in report.results if r.model == name}
            newest, before = value.get(columns[-1], math.nan), value.get(columns[0], math.nan)
            end = max((v for v in (newest, before) if math.isfinite(v)), default=0.0)
            if math.isfinite(newest):
                axes.barh(y, newest, 0.62, color=OURS if name in report.rivals else PALE, zorder=2)
            if math.isfinite(before) and len(columns) > 1:
                axes.plot([before, before], [y - 0.4, y + 0.4], color=FAINT, linewidth=1.6, zorder=3)
            text = percent(newest) if math.isfinite(newest) else "no hits"
            axes.annotate(text, (end, y), (6, 0), textcoords="offset points", va="center", fontsize=8.5)
        axes.set_yticks(range(len(names)), [plain(name) for name in names])
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x")
        axes.set_xlim(0, 1.15 * max(known, default=0) or 1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    save(figure, path)
