"""How the pictures of a page look: one typeface, few colours, and no name that could break them."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

INK, FAINT, LINE, PALE = "#22223b", "#5c677d", "#dfe3ea", "#aab4c3"
OURS, RIVAL = "#2a6f97", "#c8553d"
HUES = ("#81b29a", "#d9a441", "#6d597a", "#4f9da6", "#b56576", "#7a8450", "#9a8c98")
WIN, LOSS, OPEN = "#3a7d5c", "#b23a48", "#8d99ae"
VERDICT = (OPEN, WIN, LOSS)
"""By `Difference.sign`: neither, better beyond luck, worse beyond luck (index -1)."""
WIDTH = 9.8
"""Inches; at 100 dots each what a page is wide."""
DPI = 200
LONGEST = 34


@contextmanager
def styled() -> Iterator[None]:
    """Dollar signs of names are no formulas in here."""
    settings: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "text.parse_math": False,
        "text.color": INK,
        "axes.edgecolor": PALE,
        "axes.labelcolor": FAINT,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.color": LINE,
        "grid.linewidth": 0.8,
        "xtick.color": PALE,
        "ytick.color": PALE,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "legend.frameon": False,
        "legend.labelcolor": INK,
    }
    with mpl.rc_context(settings):
        yield


def new_figure(height: float) -> Figure:
    """As wide as the page, on a canvas of its own: no display, no global state."""
    return Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="png", metadata={"Software": None})


def plain(name: str) -> str:
    """A name of the data in one short line of letters that the typeface has."""
    line = "".join(c if c.isprintable() and (ord(c) in _letters() or c.isspace()) else "·" for c in name).strip()
    return line if len(line) <= LONGEST else line[: LONGEST - 1].rstrip() + "…"


def colours_of(names: Iterable[str], ours: Collection[str]) -> dict[str, str]:
    """A colour for each name, the same in every panel; ours stands out."""
    others = [name for name in dict.fromkeys(names) if name not in ours]
    return dict.fromkeys(ours, OURS) | {name: HUES[place % len(HUES)] for place, name in enumerate(others)}


def signed(value: float, form: str = "+.4f") -> str:
    """With a minus sign as wide as the plus."""
    return f"{value:{form}}".replace("-", "−")


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %" if math.isfinite(share) else "–"


def columns_of(figure: Figure, titles: Sequence[str], rows: int = 1, **kwargs: object) -> list[list[Axes]]:
    """`rows` x one panel for each title, titles above the first row."""
    axes = figure.subplots(rows, len(titles), squeeze=False, **kwargs)  # type: ignore[call-overload]  # one overload a value of squeeze, none for keywords
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title)
    return [list(row) for row in axes]


@cache
def _letters() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())
