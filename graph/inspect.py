"""What a graph looks like in numbers: sizes, degrees, what hangs loose, what holds together."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from torch_geometric.data import HeteroData

from graph import schema
from graph.arrays import Int64s
from graph.snapshot import Snapshot
from graph.storage.times import format_time
from graph.taxonomy import Taxonomy

QUANTILES = (0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class NodeReport:
    node_type: str
    count: int
    isolated: int  # without any edge
    in_largest: int  # within the largest connected component


@dataclass(frozen=True)
class EdgeReport:
    edge_type: schema.EdgeType
    count: int
    out_degree: tuple[int, ...]  # QUANTILES over the sources that have an edge
    in_degree: tuple[int, ...]  # QUANTILES over the targets that have one
    weight: tuple[float, ...]  # QUANTILES


@dataclass(frozen=True)
class GraphReport:
    """Everything that `penchant graph inspect` shows. Shares are of 1."""

    as_of: int  # microseconds
    known_at: int
    content_hash: str
    events: int
    first_event: int | None
    last_event: int | None
    nodes: tuple[NodeReport, ...]
    edges: tuple[EdgeReport, ...]
    components: int  # connected components of two nodes or more
    largest_share: float  # of all nodes
    items_in_catalog: int
    items_with_category: int
    events_with_category: float  # share of the events whose item has a category
    categories_in_use: int  # with an item at them or below
    levels: int  # of the category tree


def inspect_graph(snapshot: Snapshot, data: HeteroData) -> GraphReport:
    """The report on a graph and the snapshot that it was built from."""
    events = snapshot.events
    when = events.occurred_at
    has_category = np.zeros(len(snapshot.items), np.bool_)
    has_category[snapshot.item_category[0]] = True
    taxonomy = Taxonomy.of(snapshot)
    used = taxonomy.roll_up(np.bincount(snapshot.item_category[1], minlength=len(taxonomy))) > 0
    nodes, components, largest = _nodes(data)
    return GraphReport(
        as_of=snapshot.as_of,
        known_at=snapshot.known_at,
        content_hash=snapshot.content_hash,
        events=len(events),
        first_event=int(when.min()) if len(when) else None,
        last_event=int(when.max()) if len(when) else None,
        nodes=nodes,
        edges=tuple(_edges(data)),
        components=components,
        largest_share=largest / max(1, sum(node.count for node in nodes)),
        items_in_catalog=int(snapshot.item_exists.sum()),
        items_with_category=int(has_category.sum()),
        events_with_category=float(has_category[events.item].mean()) if len(events) else 0.0,
        categories_in_use=int(used.sum()),
        levels=int(taxonomy.depth.max(initial=-1)) + 1,
    )


def forward_edges(data: HeteroData) -> list[schema.EdgeType]:
    """The edge types that are no reverse of another."""
    return [edge_type for edge_type in data.edge_types if not edge_type[1].startswith(schema.REVERSE)]


def degrees(data: HeteroData, edge_type: schema.EdgeType, end: int) -> Int64s:
    """int64 [nodes]: edges of each source (`end` 0) or target (`end` 1)."""
    node_type = edge_type[0] if end == 0 else edge_type[2]
    return np.bincount(data[edge_type].edge_index[end].numpy(), minlength=data[node_type].num_nodes)


def _nodes(data: HeteroData) -> tuple[tuple[NodeReport, ...], int, int]:
    """(node types, components of at least two nodes, size of the largest)."""
    sizes = [data[node_type].num_nodes for node_type in data.node_types]
    start = dict(zip(data.node_types, np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int), strict=True))
    total = sum(sizes)
    ends = [np.zeros((2, 0), np.int64)]
    for source, name, target in forward_edges(data):
        index = data[source, name, target].edge_index.numpy()
        ends.append(index + np.array([[start[source]], [start[target]]]))
    rows, columns = np.concatenate(ends, axis=1)
    joined = sparse.csr_array((np.ones(len(rows), np.bool_), (rows, columns)), shape=(total, total))
    _, component = connected_components(joined, directed=False)
    size_of = np.bincount(component, minlength=1)
    largest = int(size_of.argmax())
    reports = []
    for node_type, size in zip(data.node_types, sizes, strict=True):
        own = component[start[node_type] : start[node_type] + size]
        alone = int((size_of[own] == 1).sum())
        reports.append(NodeReport(node_type, size, alone, int((own == largest).sum())))
    return tuple(reports), int((size_of > 1).sum()), int(size_of.max(initial=0))


def _edges(data: HeteroData) -> Iterator[EdgeReport]:
    for edge_type in forward_edges(data):
        weight = data[edge_type].edge_weight.numpy()
        out, into = degrees(data, edge_type, 0), degrees(data, edge_type, 1)
        yield EdgeReport(
            edge_type,
            len(weight),
            tuple(int(q) for q in _quantiles(out[out > 0])),
            tuple(int(q) for q in _quantiles(into[into > 0])),
            _quantiles(weight),
        )


def _quantiles(values: np.ndarray) -> tuple[float, ...]:
    if not len(values):
        return (0.0,) * len(QUANTILES)
    return tuple(float(q) for q in np.quantile(values, QUANTILES, method="lower"))


def render(report: GraphReport) -> RenderableType:
    """The report as tables for a terminal."""
    span = "no events yet"
    if report.first_event is not None and report.last_event is not None:
        span = f"{report.events:,} events from {format_time(report.first_event)} to {format_time(report.last_event)}"
    head = Text.assemble(
        ("The graph as of ", "bold"),
        (format_time(report.as_of), "bold cyan"),
        f", known at {format_time(report.known_at)}: {span}.\nContent {report.content_hash}.\n",
    )
    return Group(head, _node_table(report), _edge_table(report), _cover_table(report))


def _node_table(report: GraphReport) -> Table:
    table = Table(title="Nodes", title_justify="left", title_style="bold", header_style="dim")
    table.add_column("type", style="cyan")
    for name in ("nodes", "isolated", "share", "in the largest component"):
        table.add_column(name, justify="right")
    for node in report.nodes:
        table.add_row(
            node.node_type,
            f"{node.count:,}",
            f"{node.isolated:,}",
            _share(node.isolated, node.count),
            _share(node.in_largest, node.count),
        )
    return table


def _edge_table(report: GraphReport) -> Table:
    table = Table(
        title="Edges (each has a reverse), degrees of nodes that have any: median · 90 % · 99 % · most",
        title_justify="left",
        title_style="bold",
        header_style="dim",
    )
    table.add_column("relation", style="cyan")
    for name in ("edges", "per source", "per target", "weight"):
        table.add_column(name, justify="right")
    for edge in report.edges:
        source, name, target = edge.edge_type
        table.add_row(
            Text.assemble(source, (f" ─{name}→ ", "dim"), target),
            f"{edge.count:,}",
            " · ".join(f"{degree:,}" for degree in edge.out_degree),
            " · ".join(f"{degree:,}" for degree in edge.in_degree),
            " · ".join(f"{weight:,.3g}" if weight < 1e4 else f"{weight:,.0f}" for weight in edge.weight),
        )
    return table


def _cover_table(report: GraphReport) -> Table:
    categories = next(node.count for node in report.nodes if node.node_type == schema.CATEGORY)
    table = Table(title="What holds together", title_justify="left", title_style="bold", show_header=False)
    table.add_column(style="cyan")
    table.add_column(justify="right")
    table.add_column(justify="right")
    rows = (
        ("connected components of two nodes or more", f"{report.components:,}", ""),
        ("nodes in the largest", "", f"{report.largest_share:.1%}"),
        ("items in the catalog", f"{report.items_in_catalog:,}", ""),
        (
            "items with a category",
            f"{report.items_with_category:,}",
            _share(report.items_with_category, report.items_in_catalog),
        ),
        ("events on items with a category", "", f"{report.events_with_category:.1%}"),
        (
            "categories with an item at or below them",
            f"{report.categories_in_use:,}",
            _share(report.categories_in_use, categories),
        ),
        ("levels of the category tree", f"{report.levels}", ""),
    )
    for row in rows:
        table.add_row(*row)
    return table


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"
