"""The graph as one picture: the category tree as rings, degrees, activity over time, and what holds together."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.patches import Wedge
from matplotlib.ticker import EngFormatter, FuncFormatter, NullFormatter, PercentFormatter
from torch_geometric.data import HeteroData

from graph import schema
from graph.arrays import Float64s
from graph.inspect import GraphReport, degrees
from graph.snapshot import Snapshot
from graph.storage.times import DAY_US, format_time
from graph.taxonomy import Taxonomy

_INK, _FAINT, _PAPER = "#22223b", "#8d99ae", "#fbfaf7"
_HUES = ("#2a6f97", "#e07a5f", "#81b29a", "#f2cc8f", "#6d597a", "#b56576")
_MAP = "YlGnBu"
_RINGS = 4
_POINTS = 294  # printer's points to a unit of the rings' axes
_EM = 0.7  # mean width of a letter, in sizes
_SMALLEST, _LARGEST = 5.0, (12.0, 8.0)  # size of a name, in points; of roots, and of others


def draw_graph(snapshot: Snapshot, data: HeteroData, report: GraphReport, path: Path) -> None:
    """Writes a PNG of some 2400 x 1500 pixels. Draws on a canvas of its own: no display, no global state."""
    figure = Figure(figsize=(16, 10), dpi=150, facecolor=_PAPER)
    figure.text(0.03, 0.955, "penchant graph", fontsize=22, fontweight="bold", color=_INK)
    sizes = " · ".join(f"{node.count:,} {_plural(node.node_type)}" for node in report.nodes)
    figure.text(
        0.03,
        0.925,
        f"as of {format_time(report.as_of)}  ·  {report.events:,} events  ·  {sizes}",
        color=_FAINT,
        fontsize=12,
    )
    _category_rings(figure, figure.add_axes((0.01, 0.05, 0.6, 0.85)), snapshot)
    _degree_curves(figure.add_axes((0.67, 0.645, 0.3, 0.24)), data)
    _activity(figure.add_axes((0.67, 0.345, 0.3, 0.2)), snapshot)
    _holds_together(figure.add_axes((0.67, 0.08, 0.3, 0.16)), report)
    figure.savefig(path, facecolor=_PAPER)


def _category_rings(figure: Figure, axes: Axes, snapshot: Snapshot) -> None:
    """Sunburst: angle = items below a category, colour = events per item below it."""
    axes.set_axis_off()
    axes.set_aspect("equal")
    taxonomy = Taxonomy.of(snapshot)
    at_category = snapshot.item_category
    items = taxonomy.roll_up(np.bincount(at_category[1], minlength=len(taxonomy)))
    if not items.any():
        axes.text(0.5, 0.5, "no item has a category", ha="center", va="center", color=_FAINT, fontsize=14)
        return
    per_item = np.bincount(snapshot.events.item, minlength=len(snapshot.items))
    own = np.bincount(at_category[1], weights=per_item[at_category[0]], minlength=len(taxonomy))
    rate = taxonomy.roll_up(own) / np.maximum(items, 1)

    start = _angles(taxonomy, items)
    width = 360 * items / items[taxonomy.roots].sum()
    rings = min(int(taxonomy.depth[items > 0].max()) + 1, _RINGS)
    edge = np.concatenate([[0.3], 0.3 + 0.7 * np.cumsum(_ring_widths(rings))])
    shown = np.flatnonzero((width > 0.02) & (taxonomy.depth < rings))
    busy = rate[shown][rate[shown] > 0]
    norm = LogNorm(*_bounds(busy))
    wedges = [
        Wedge(
            (0, 0),
            edge[depth + 1] - 0.004,
            start[node],
            start[node] + width[node],
            width=edge[depth + 1] - edge[depth] - 0.004,
        )
        for node, depth in zip(shown.tolist(), taxonomy.depth[shown].tolist(), strict=True)
    ]
    lines = np.where(width[shown] > 0.5, 0.5, 0.0)
    patches = PatchCollection(wedges, cmap=_MAP, norm=norm, edgecolors=_PAPER, linewidths=lines)
    patches.set_array(np.clip(rate[shown], norm.vmin, norm.vmax))
    axes.add_collection(patches)
    names = snapshot.category_names.to_pylist()
    for node in shown.tolist():
        inner, outer = edge[taxonomy.depth[node]], edge[taxonomy.depth[node] + 1]
        arc = np.radians(width[node]) * (inner + outer) / 2 * _POINTS
        most = _LARGEST[min(int(taxonomy.depth[node]), 1)]
        if arc * 0.8 >= _SMALLEST and names[node]:
            dark = sum(patches.to_rgba(rate[node])[:3]) < 1.6
            _label(axes, names[node], start[node] + width[node] / 2, inner, outer, arc, most, dark)
    axes.set_xlim(-1.04, 1.04)
    axes.set_ylim(-1.04, 1.04)
    axes.text(
        0,
        0.03,
        f"{int(snapshot.item_exists.sum()):,}",
        ha="center",
        va="center",
        fontsize=20,
        fontweight="bold",
        color=_INK,
    )
    axes.text(0, -0.05, "items by category", ha="center", va="center", fontsize=11, color=_FAINT)
    bar = figure.colorbar(
        ScalarMappable(norm, _MAP), cax=figure.add_axes((0.035, 0.075, 0.14, 0.012)), orientation="horizontal"
    )
    bar.outline.set_visible(False)
    bar.set_label("events per item", color=_INK, fontsize=10)
    bar.ax.tick_params(labelsize=9, colors=_INK, length=2)
    bar.ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    bar.ax.xaxis.set_minor_formatter(NullFormatter())


def _angles(taxonomy: Taxonomy, items: Float64s) -> Float64s:
    """Where each category's arc starts, in degrees: children lie side by side within their parent, largest first."""
    start = np.zeros(len(taxonomy))
    scale = 360 / items[taxonomy.roots].sum()
    queue: list[tuple[list[int], float]] = [(taxonomy.roots, 0.0)]
    while queue:
        siblings, angle = queue.pop()
        for node in sorted(siblings, key=lambda node: (-items[node], node)):
            start[node] = angle
            queue.append((taxonomy.children(node), angle))
            angle += items[node] * scale
    return start


def _ring_widths(rings: int) -> Float64s:
    width: Float64s = np.power(0.8, np.arange(rings))
    width /= width.sum()
    return width


def _bounds(rates: Float64s) -> tuple[float, float]:
    low, high = np.quantile(rates, (0.05, 0.98)) if len(rates) else (1.0, 10.0)
    return float(low), float(max(high, low * 1.5))


def _label(
    axes: Axes, name: str, angle: float, inner: float, outer: float, arc: float, most: float, dark: bool
) -> None:
    """Writes along the radius, never upside down, as large as arc and ring allow; what is still too long is cut."""
    radius, turned, ring = (inner + outer) / 2, 90 < angle < 270, (outer - inner) * _POINTS * 0.92
    size = float(max(min(arc * 0.8, most, ring / (_EM * len(name))), _SMALLEST))
    room = int(ring / (_EM * size))
    axes.text(
        radius * np.cos(np.radians(angle)),
        radius * np.sin(np.radians(angle)),
        name if len(name) <= room else name[: room - 1].rstrip() + "…",
        rotation=angle + 180 if turned else angle,
        rotation_mode="anchor",
        ha="center",
        va="center",
        fontsize=size,
        color="white" if dark else _INK,
    )


def _degree_curves(axes: Axes, data: HeteroData) -> None:
    """Share of nodes with at least k edges, both axes logarithmic: a straight line is a power law."""
    _title(axes, "How many have at least k neighbours")
    hue = iter(_HUES * 4)
    for edge_type in data.edge_types:
        source, name, target = edge_type
        if (source, target) not in ((schema.USER, schema.ITEM), (schema.ITEM, schema.ITEM)) or name.startswith(
            schema.REVERSE
        ):
            continue
        for end, label in ((0, f"{source} ─{name}→ …"), (1, f"… ─{name}→ {target}")):
            degree = np.sort(degrees(data, edge_type, end))
            degree = degree[degree > 0]
            if len(degree):
                values, first = np.unique(degree, return_index=True)
                axes.plot(values, 1 - first / len(degree), color=next(hue), lw=2, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.3%}".rstrip("0%").rstrip(".") + " %"))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25, lw=0.5)
    if axes.lines:
        axes.legend(fontsize=8, frameon=False, labelcolor=_INK, loc="lower left")


def _activity(axes: Axes, snapshot: Snapshot) -> None:
    """Events per day (or per 1/60 of the span, if that is longer), stacked by kind."""
    events = snapshot.events
    _title(axes, "Events over time")
    if not len(events):
        return
    first, last = int(events.occurred_at.min()), int(events.occurred_at.max()) + 1
    bins = int(np.clip((last - first) / DAY_US, 1, 60))
    edges = np.linspace(first, last, bins + 1)
    when = np.array([datetime.fromtimestamp(edge / 1e6, UTC) for edge in edges[:-1]])
    width = (edges[1] - edges[0]) / DAY_US * 0.85  # of a bar, in days
    bottom = np.zeros(bins)
    hue = iter(_HUES * 4)
    for index, kind in enumerate(snapshot.kinds):
        count, _ = np.histogram(events.occurred_at[events.kind == index], edges)
        if count.any():
            axes.bar(
                when,
                count,
                width,
                bottom,
                color=next(hue),
                label=kind.name,
                align="edge",
            )
            bottom = bottom + count
    locator = AutoDateLocator(maxticks=7)  # type: ignore[no-untyped-call]  # matplotlib has no types there
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # matplotlib has no types there
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_ylabel(f"per {_span(edges[1] - edges[0])}", color=_FAINT, fontsize=9)
    axes.legend(fontsize=8, frameon=False, labelcolor=_INK, ncols=4, loc="lower right", bbox_to_anchor=(1.0, 1.0))


def _holds_together(axes: Axes, report: GraphReport) -> None:
    _title(axes, "What holds together")
    for place, node in enumerate(reversed(report.nodes)):
        whole = max(node.count, 1)
        parts = (
            (node.in_largest / whole, _HUES[0], "largest component"),
            ((node.count - node.in_largest - node.isolated) / whole, _HUES[2], "smaller components"),
            (node.isolated / whole, "#dcd8cf", "isolated"),
        )
        left = 0.0
        for share, colour, label in parts:
            axes.barh(place, share, 0.62, left, color=colour, label=label if place == 0 else None)
            if share > 0.06:
                shade = "white" if colour == _HUES[0] else _INK
                axes.text(left + share / 2, place, f"{share:.0%}", ha="center", va="center", color=shade, fontsize=9)
            left += share
    axes.set_yticks(range(len(report.nodes)), [_plural(node.node_type) for node in reversed(report.nodes)])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlim(0, 1)
    axes.legend(fontsize=8, frameon=False, labelcolor=_INK, ncols=3, loc="upper right", bbox_to_anchor=(1.0, -0.16))


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=12, fontweight="bold", color=_INK, pad=8)
    axes.set_facecolor(_PAPER)
    axes.tick_params(colors=_INK, labelsize=9, length=2)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_FAINT)


def _plural(node_type: str) -> str:
    return "categories" if node_type == schema.CATEGORY else f"{node_type}s"


def _span(us: float) -> str:
    days = us / DAY_US
    return "day" if 0.9 < days < 1.1 else f"{days:.1f} days" if days >= 1 else f"{days * 24:.1f} h"
