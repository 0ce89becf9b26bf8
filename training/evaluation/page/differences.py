"""Forest plot: how far the model is ahead of each baseline, with the interval that luck leaves."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from training.evaluation.page.style import FAINT, INK, VERDICT, new_figure, plain, save, signed
from training.evaluation.report import COMPARED, Comparison

LABELS = {"ndcg@10": "NDCG@10", "recall@10": "Recall@10"}


def draw_differences(comparisons: Sequence[Comparison], path: Path) -> None:
    """A row for each baseline, the nearest first; a panel for each metric; full marks for the column named last."""
    columns = list(dict.fromkeys(c.column for c in comparisons))
    newest = {c.baseline: c.difference.mean for c in comparisons if c.column == columns[-1] and c.metric == COMPARED[0]}
    baselines = sorted(dict.fromkeys(c.baseline for c in comparisons), key=lambda name: newest.get(name, 0.0))
    figure = new_figure(1.15 + 0.52 * len(baselines))
    panels = figure.subplots(1, len(COMPARED), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, COMPARED, strict=True):
        axes.set_title(LABELS[metric])
        axes.axvline(0, color=INK, linewidth=1)
        axes.grid(axis="x")
        for comparison in comparisons:
            if comparison.metric == metric:
                place = columns.index(comparison.column)
                offset = 0.17 * (2 * place - len(columns) + 1)
                _mark(axes, comparison, baselines.index(comparison.baseline) + offset, full=place == len(columns) - 1)
        axes.set_yticks(range(len(baselines)), [plain(name) for name in baselines])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(5, symmetric=False))
        axes.xaxis.set_major_formatter(lambda value, _: signed(value, "+.3g") if value else "0")
        axes.set_xlabel("behind  ◂   difference   ▸  ahead")
        axes.margins(x=0.08)
    panels[0].set_ylim(len(baselines) - 0.5, -0.5)
    marks = [
        Line2D([], [], color=FAINT, marker="o", linewidth=1.4, markersize=6, label=column,
               markerfacecolor=FAINT if column == columns[-1] else "white")
        for column in columns
    ]  # fmt: skip
    figure.legend(handles=marks, loc="outside upper right", ncols=len(marks))
    save(figure, path)


def _mark(axes: Axes, comparison: Comparison, y: float, *, full: bool) -> None:
    d = comparison.difference
    colour = VERDICT[d.sign]
    axes.plot([d.low, d.high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot([d.low, d.high], [y, y], color=colour, marker="|", linewidth=0, markersize=6)
    axes.plot([d.mean], [y], color=colour, marker="o", markersize=6, markerfacecolor=colour if full else "white")
