"""Learning curves as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

CURVES = "learning-curves.png"
"""The file beside a model's weights."""


@dataclass(frozen=True)
class Epoch:
    """One epoch's figures: mean training loss (nats a target), NDCG@10 on the validation queries, wall time so far."""

    loss: float
    ndcg: float
    seconds: float


def draw_curves(epochs: Sequence[Epoch], path: Path, title: str = "Learning curves") -> None:
    """Loss and validation NDCG@10 over epochs, one above the other, the best epoch marked; a PNG at `path`."""
    numbers = range(1, len(epochs) + 1)
    figure = Figure(figsize=(7, 5.5), layout="constrained", dpi=200)
    above, below = figure.subplots(2, 1, sharex=True)
    figure.suptitle(title, fontsize=12, fontweight="bold")
    above.plot(numbers, [epoch.loss for epoch in epochs], color="#c44e52", marker="o", markersize=3.5)
    above.set_ylabel("training loss (nats)")
    below.plot(numbers, [epoch.ndcg for epoch in epochs], color="#4c72b0", marker="o", markersize=3.5)
    below.set_ylabel("validation NDCG@10")
    below.set_xlabel("epoch")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    if epochs:
        best = max(range(len(epochs)), key=lambda number: epochs[number].ndcg)
        label = f"best: epoch {best + 1}, {epochs[best].ndcg:.4f}, after {epochs[best].seconds:.0f} s"
        for axis in (above, below):
            axis.axvline(best + 1, color="#888888", linestyle="--", linewidth=1, label=label)
        below.legend(loc="lower right", frameon=False)
    for axis in (above, below):
        axis.grid(visible=True, color="#e5e5e5")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, format="png")
