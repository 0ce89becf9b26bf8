"""One metric over folds: how far they scatter, or where windows lead when they follow each other."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from training.evaluation.bootstrap import Difference
from training.evaluation.page.labels import name_ends
from training.evaluation.page.lengths import bars
from training.evaluation.page.style import INK, OURS, PALE, colours_of, columns_of, new_figure, plain, save
from training.evaluation.spread import Spread

Spreads = Mapping[tuple[str, str], Spread]
"""By column and model."""
LABEL = "NDCG@10"


def draw_folds(spreads: Spreads, ours: Sequence[str], path: Path) -> None:
    """A row for each model: a dot for each fold, a line at their mean, a band of one standard deviation around it."""
    columns, names = (list(dict.fromkeys(key[place] for key in spreads)) for place in (0, 1))
    figure = new_figure(1.0 + 0.34 * len(names))
    panels = columns_of(figure, columns, sharey=True, sharex=True)[0]
    for axes, column in zip(panels, columns, strict=True):
        for y, name in enumerate(names):
            figures = spreads[column, name]
            colour = OURS if name in ours else INK
            sd = np.nan_to_num(figures.sd)
            axes.barh(y, 2 * sd, 0.5, figures.mean - sd, color=OURS if name in ours else PALE, alpha=0.35)
            axes.plot([figures.mean, figures.mean], [y - 0.3, y + 0.3], color=colour, linewidth=2)
            axes.scatter(figures.values, np.full(len(figures.values), y), s=16, color=colour, alpha=0.6, linewidth=0)
        axes.grid(axis="x")
        axes.set_xlabel(LABEL)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    panels[0].set_xlim(left=0)
    panels[0].set_yticks(range(len(names)), [plain(name) for name in names])
    panels[0].set_ylim(len(names) - 0.5, -0.5)
    save(figure, path)


def draw_trend(
    spreads: Spreads, ours: Sequence[str], windows: Sequence[str], leads: Mapping[str, Sequence[Difference]], path: Path
) -> None:
    """Over the windows, each named by its first day: every model, and below it the model's lead on the best baseline.

    leads: by column, where there is anything to be ahead of.
    """
    columns, names = (list(dict.fromkeys(key[place] for key in spreads)) for place in (0, 1))
    colours = colours_of(names, ours)
    heights = [3, 2] if leads else [1]
    figure = new_figure(5.0 if leads else 3.4)
    axes = columns_of(
        figure, columns, rows=len(heights), sharex="col", sharey="row", gridspec_kw={"height_ratios": heights}
    )
    top = 1.08 * max(max(figures.values) for figures in spreads.values()) or 1.0
    x = np.arange(len(windows))
    for place, column in enumerate(columns):
        above = axes[0][place]
        for name in sorted(names, key=lambda name: name in ours):
            width = 2.8 if name in ours else 1.5
            above.plot(x, spreads[column, name].values, color=colours[name], linewidth=width, marker="o", markersize=4)
        _over(above, windows)
        above.set_ylim(0, top)
        name_ends(above, x[-1], {n: spreads[column, n].values[-1] for n in names}, colours, ours, top=top, height=2.4)
        if leads:
            bars(axes[1][place], leads[column])
            _over(axes[1][place], windows)
        axes[-1][place].set_xlabel("first day of the window")
    axes[0][0].set_ylabel(LABEL)
    if leads:
        axes[1][0].set_ylabel("model − baseline")
    figure.align_ylabels()
    save(figure, path)


def _over(axes: Axes, windows: Sequence[str]) -> None:
    axes.grid(axis="y")
    axes.set_xticks(range(len(windows)), windows, fontsize=8, rotation=0 if len(windows) < 6 else 30, ha="center")
    axes.set_xlim(-0.45, len(windows) - 0.55)
