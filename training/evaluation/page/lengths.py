"""Short and long histories: the model beside the best baseline, and what lies between them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from training.evaluation.bootstrap import Difference
from training.evaluation.by_length import Bucket
from training.evaluation.page.style import (
    INK,
    OURS,
    RIVAL,
    VERDICT,
    columns_of,
    new_figure,
    plain,
    save,
    signed,
)

Panel = tuple[str, Sequence[str], Sequence[Bucket]]
"""Column, contenders, buckets."""


def draw_lengths(panels: Sequence[Panel], path: Path) -> None:
    both = any(bucket.difference for _, _, buckets in panels for bucket in buckets)
    figure = new_figure(4.9 if both else 3.2)
    axes = columns_of(
        figure,
        [column for column, _, _ in panels],
        rows=2 if both else 1,
        sharex="col",
        sharey="row",
        gridspec_kw={"height_ratios": [3, 2] if both else [1]},
    )
    highest = max((mean for _, _, buckets in panels for bucket in buckets for mean in bucket.means), default=0)
    for place, (_, names, buckets) in enumerate(panels):
        x = np.arange(len(buckets))
        for name, colour, marker, values in zip(
            names, (OURS, RIVAL), "os", zip(*(b.means for b in buckets), strict=True), strict=False
        ):
            axes[0][place].plot(x, values, color=colour, marker=marker, markersize=5, linewidth=2, label=plain(name))
        axes[0][place].grid(axis="y")
        axes[0][place].legend(loc="upper left", ncols=2, fontsize=9, borderaxespad=0.2)
        axes[0][place].set_ylim(0, 1.25 * highest or 1)
        below = axes[-1][place]
        if both:
            bars(below, [bucket.difference for bucket in buckets])
        below.set_xticks(x, [f"{b.label}\n{b.users:,}" for b in buckets], fontsize=8)
        below.set_xlim(-0.6, len(buckets) - 0.4)
        below.set_xlabel("events of the user's history; users below")
    axes[0][0].set_ylabel("NDCG@10")
    if both:
        axes[1][0].set_ylabel("model − baseline")
    figure.align_ylabels()
    save(figure, path)


def bars(axes: Axes, differences: Sequence[Difference | None]) -> None:
    """Side by side, with their intervals, around zero."""
    axes.grid(axis="y")
    axes.axhline(0, color=INK, linewidth=1)
    for x, d in enumerate(differences):
        if d is not None:
            colour = VERDICT[d.sign]
            axes.bar(x, d.mean, 0.62, color=colour, alpha=0.35)
            axes.plot([x, x], [d.low, d.high], color=colour, linewidth=1.8, solid_capstyle="butt")
            axes.plot([x], [d.mean], color=colour, marker="o", markersize=4.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: signed(value, "+.3g") if value else "0")
