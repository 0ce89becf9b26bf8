"""Names at the ends of curves, moved apart where curves end close to each other: no legend to look up."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from training.evaluation.page.style import FAINT, plain

NAMED = 12
"""Curves that get a name; what is worse than so many is drawn without one."""
LINE = 0.155
"""Inches from one line of text to the next."""


def name_ends(
    axes: Axes,
    x: float,
    ends: Mapping[str, float],
    colours: Mapping[str, str],
    ours: Sequence[str],
    *,
    top: float,
    height: float,
) -> None:
    """Writes each name beside its curve's last value.

    x: where the curves end. ends: by name. top: where the axis ends, which begins at 0. height: inches of the axis.
    """
    named = sorted((name for name in ends if math.isfinite(ends[name])), key=lambda name: ends[name])[-NAMED:]
    places = apart([ends[name] for name in named], top * LINE / height, low=0)
    for name, y in zip(named, places, strict=True):
        axes.annotate(
            plain(name),
            (x, ends[name]),
            (1.035, y),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            fontweight="bold" if name in ours else "normal",
            color=colours[name],
            arrowprops={
                "arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )  # fmt: skip


def apart(places: Sequence[float], gap: float, low: float = -math.inf) -> list[float]:
    """The places, in any order, moved as little as needed so that any two are `gap` apart and none is below `low`."""
    order = sorted(range(len(places)), key=lambda index: places[index])
    blocks: list[list[float]] = []  # [sum of wished starts, size]: a block is a run of labels without room between
    for rank, index in enumerate(order):
        blocks.append([places[index] - rank * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            wished, size = blocks.pop()
            blocks[-1][0] += wished
            blocks[-1][1] += size
    start = [wished / size for wished, size in blocks for _ in range(int(size))]
    moved = [0.0] * len(places)
    for rank, index in enumerate(order):
        moved[index] = max(start[rank], low) + rank * gap
    return moved
