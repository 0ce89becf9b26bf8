from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console

from graph.build import build_graph
from graph.inspect import inspect_graph, render
from graph.picture import draw_graph
from graph.snapshot import Snapshot

MakeSnapshot = Callable[..., Snapshot]

ROWS = [(0, 0, 1, 1, -1), (0, 1, 1, 2, -1), (1, 3, 0, 3, -1)]


@pytest.fixture
def snapshot(make_snapshot: MakeSnapshot) -> Snapshot:
    """u0 bought i0 and i1 (below c0 by way of c1), u1 viewed i3; u2, i2, i4, i5 and c2 hang loose."""
    return make_snapshot(ROWS, parents=[-1, 0, -1], item_category=[(0, 1), (1, 1), (5, 1)])


def test_report_counts_what_hangs_loose_and_what_holds_together(snapshot: Snapshot) -> None:
    report = inspect_graph(snapshot, build_graph(snapshot))
    nodes = {node.node_type: (node.count, node.isolated, node.in_largest) for node in report.nodes}
    assert nodes == {"user": (3, 1, 1), "item": (6, 2, 3), "category": (3, 1, 2)}
    assert report.components == 2
    assert report.largest_share == pytest.approx(6 / 12)
    assert (report.items_in_catalog, report.items_with_category) == (6, 3)
    assert report.events_with_category == pytest.approx(2 / 3)
    assert (report.categories_in_use, report.levels) == (2, 2)
    edges = {edge.edge_type[1]: edge for edge in report.edges}
    assert {name: edge.count for name, edge in edges.items()} == {
        "view": 1,
        "purchase": 2,
        "followed_by": 1,
        "in": 3,
        "child_of": 1,
    }
    assert edges["purchase"].out_degree == (2, 2, 2, 2)
    assert edges["purchase"].in_degree == (1, 1, 1, 1)
    assert edges["in"].in_degree == (3, 3, 3, 3)


def test_tables_and_picture(snapshot: Snapshot, tmp_path: Path) -> None:
    graph = build_graph(snapshot)
    report = inspect_graph(snapshot, graph)
    console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    console.print(render(report))
    console.file.close()
    text = console.export_text()
    for expected in ("user ─purchase→ item", "3 events from 1970-01-02", report.content_hash, "50.0%"):
        assert expected in text
    draw_graph(snapshot, graph, report, tmp_path / "graph.png")
    pixels = imread(tmp_path / "graph.png")
    assert pixels.shape[:2] == (1500, 2400)
    assert len(np.unique(pixels.reshape(-1, pixels.shape[2])[::97], axis=0)) > 10


@pytest.mark.parametrize("rows", [[], [(0, 0, 1, 1, -1)]])
def test_a_shop_without_events_or_categories_can_be_looked_at(
    make_snapshot: MakeSnapshot, tmp_path: Path, rows: list[tuple[int, ...]]
) -> None:
    snapshot = make_snapshot(rows)
    graph = build_graph(snapshot)
    report = inspect_graph(snapshot, graph)
    Console(file=(file := (tmp_path / "out").open("w"))).print(render(report))
    file.close()
    draw_graph(snapshot, graph, report, tmp_path / "graph.png")
    assert (tmp_path / "graph.png").stat().st_size > 10_000


def test_nothing_at_all_can_be_looked_at(make_snapshot: MakeSnapshot) -> None:
    snapshot = make_snapshot([], n_users=0, n_items=0)
    report = inspect_graph(snapshot, build_graph(snapshot))
    assert (report.components, report.largest_share, report.levels) == (0, 0, 0)
