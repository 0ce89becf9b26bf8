"""Do probabilities hold: reliability, confusion matrix and ROC curve, side by side."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

from training.evaluation.page.style import FAINT, INK, LINE, OURS, PALE, WIN, new_figure, percent, save
from training.evaluation.probabilities import Confusion, ProbabilityQuality, Reliability, Roc

BAND = (0.8, 1.25)
"""Observed over expected that counts as holding."""


def draw_probabilities(quality: ProbabilityQuality, path: Path) -> None:
    figure = new_figure(3.7)
    left, middle, right = figure.subplots(1, 3, gridspec_kw={"width_ratios": [1.1, 1, 1.1]})
    _reliability(left, quality.reliability)
    _confusion(middle, quality.confusion)
    _roc(right, quality.roc, quality.confusion)
    save(figure, path)


def _reliability(axes: Axes, bins: Reliability) -> None:
    """On logarithmic scales: probabilities lie orders of magnitude apart. A bin where nothing came true lies below."""
    axes.set_title("Reliability")
    said = bins.expected > 0
    expected, observed = bins.expected[said], bins.observed[said]
    positive = np.concatenate([expected, observed[observed > 0]])
    low, high = (positive.min() / 1.6, min(positive.max() * 1.6, 1.0)) if len(positive) else (0.01, 1.0)
    line = np.array([low, high])
    axes.fill_between(line, line * BAND[0], line * BAND[1], color=WIN, alpha=0.14, linewidth=0)
    axes.plot(line, line, color=FAINT, linewidth=1)
    ends = [np.nan_to_num(end[said] * expected, nan=0.0) for end in (bins.low, bins.high)]
    axes.vlines(expected, np.maximum(ends[0], low), np.maximum(ends[1], low), color=OURS, linewidth=1.5)
    hit = observed > 0
    axes.plot(expected[hit], observed[hit], color=OURS, marker="o", markersize=5, linewidth=1)
    axes.plot(
        expected[~hit], np.full((~hit).sum(), low), color=OURS, marker="v", markersize=6, linewidth=0, clip_on=False
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, max(high, float(ends[1].max(initial=0)) * 1.05))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6f}".rstrip("0").rstrip(".")))
        axis.set_minor_formatter(NullFormatter())
    axes.grid()
    axes.set_xlabel("mean probability of the bin")
    axes.set_ylabel("share that came true")


def _confusion(axes: Axes, confusion: Confusion) -> None:
    """Counts, and of those that came true (or did not) the share; the darker, the larger the share."""
    axes.set_title(f"Yes at p ≥ {confusion.threshold:.3g}")
    counts = np.array(
        [
            [confusion.true_positives, confusion.false_negatives],
            [confusion.false_positives, confusion.true_negatives],
        ]
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, column in np.ndindex(2, 2):
        value = float(share[row, column])
        right = row == column
        axes.fill_between(
            [column, column + 1], row, row + 1, color=OURS if right else FAINT, alpha=0.12 + 0.7 * value, linewidth=0
        )
        colour = "white" if value > 0.55 else INK
        middle = (column + 0.5, row + 0.5)
        axes.annotate(
            f"{counts[row, column]:,}", middle, ha="center", va="bottom", color=colour, fontsize=11, fontweight="bold"
        )
        axes.annotate(
            percent(value), middle, (0, -4), textcoords="offset points", ha="center", va="top", color=colour, fontsize=9
        )
    axes.axhline(1, color="white", linewidth=3)
    axes.axvline(1, color="white", linewidth=3)
    axes.set_xlim(0, 2)
    axes.set_ylim(2, 0)
    axes.set_xticks([0.5, 1.5], ["said yes", "said no"])
    axes.set_yticks([0.5, 1.5], ["came\ntrue", "did\nnot"])
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _roc(axes: Axes, roc: Roc, confusion: Confusion) -> None:
    axes.set_title("ROC curve")
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    if len(roc.false_positive_rate):
        axes.fill_between(roc.false_positive_rate, roc.true_positive_rate, color=OURS, alpha=0.08, linewidth=0)
        axes.plot(roc.false_positive_rate, roc.true_positive_rate, color=OURS, linewidth=2.2)
        wrong = confusion.false_positives / max(confusion.false_positives + confusion.true_negatives, 1)
        axes.plot(
            [wrong], [confusion.recall], color=OURS, marker="o", markersize=6, markerfacecolor="white", clip_on=False
        )
        text = f"area {roc.auc:.3f}\n○ the threshold"
    else:
        text = "one outcome only:\nno curve"
    axes.text(0.95, 0.07, text, ha="right", va="bottom", linespacing=1.5)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.grid(color=LINE)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axes.set_xlabel("yes among what did not come true")
    axes.set_ylabel("yes among what came true")
