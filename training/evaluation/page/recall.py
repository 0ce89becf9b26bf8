"""How much of what users wanted is among the best k."""

from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

from training.evaluation.page.labels import name_ends
from training.evaluation.page.style import colours_of, columns_of, new_figure, save
from training.evaluation.report import Report

HEIGHT = 4.0


def draw_recall(report: Report, path: Path) -> None:
    """A panel for each column, a curve for each model, ours the thickest and on top."""
    columns = list(dict.fromkeys(r.column for r in report.results))
    colours = colours_of([r.model for r in report.results], report.rivals)
    figure = new_figure(HEIGHT)
    panels = columns_of(figure, columns, sharey=True)[0]
    top = 1.04 * max(float(r.recall_curve.max(initial=0)) for r in report.results) or 1.0
    for axes, column in zip(panels, columns, strict=True):
        results = [r for r in report.results if r.column == column]
        for result in sorted(results, key=lambda r: r.model in report.rivals):
            width = 2.8 if result.model in report.rivals else 1.5
            k = np.arange(1, len(result.recall_curve) + 1)
            axes.plot(k, result.recall_curve, color=colours[result.model], linewidth=width, solid_capstyle="round")
        axes.grid()
        axes.set_ylim(0, top)
        axes.set_xlim(1, len(results[0].recall_curve))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 5, 10]))
        axes.set_xlabel("k")
        ends = {r.model: float(r.recall_curve[-1]) for r in results}
        name_ends(axes, len(results[0].recall_curve), ends, colours, report.rivals, top=top, height=HEIGHT - 0.85)
    panels[0].set_ylabel("Recall@k")
    save(figure, path)
