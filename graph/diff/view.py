"""The comparison of two snapshots as tables for a terminal."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from graph.diff.catalog import CatalogChange
from graph.diff.edges import Node, RelationChange
from graph.diff.report import GraphDiff, Side
from graph.storage.times import format_time


def render(diff: GraphDiff) -> RenderableType:
    parts: list[RenderableType] = [_head("A", diff.before), _head("B", diff.after)]
    if diff.is_same:
        parts.append(Text("Both hold the same.", style="bold green"))
        return Group(*parts)
    parts += [Text(), _node_table(diff), _event_table(diff)]
    parts.append(_catalog_table(diff.catalog) if diff.catalog else Text("The catalog is the same.\n"))
    if diff.edges:
        parts += [_relation_table(diff.edges), _edge_table(diff.edges)]
    return Group(*parts)


def _head(letter: str, side: Side) -> Text:
    times = f"as of {format_time(side.as_of_us)}, known at {format_time(side.known_at_us)}"
    line = Text.assemble((f"{letter} {side.moment}", "bold cyan"), f": {times}\n  content {side.content_hash}")
    if not side.is_comparable:
        line.append(
            f"\n  {side.moment} was made by an older version of penchant, whose hash is defined otherwise: whether the "
            "store still gives what it was made from cannot be told.",
            style="yellow",
        )
    elif not side.is_as_recorded:
        line.append(
            f"\n  {side.moment} was made from {side.recorded_hash}, which the store no longer gives: an event kind was "
            "changed since, or rows were erased.",
            style="yellow",
        )
    return line


def _table(title: str, first: str, *numbers: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    table.add_column(first, style="cyan")
    for name in numbers:
        table.add_column(name, justify="right")
    return table


def _node_table(diff: GraphDiff) -> Table:
    table = _table("Nodes", "nodes", "A", "B", "added", "gone")
    for node in diff.nodes:
        table.add_row(node.nodes, f"{node.before:,}", f"{node.after:,}", _some(node.added), _some(node.gone))
    return table


def _event_table(diff: GraphDiff) -> Table:
    unseen = any(kind.unseen for kind in diff.events)
    names = ("A", "B", "added", "of them late", "withdrawn", *(["not yet there"] if unseen else []))
    table = _table("Events", "kind", *names)
    for kind in diff.events:
        counts = (kind.added, kind.late, kind.withdrawn, *([kind.unseen] if unseen else []))
        table.add_row(kind.kind, f"{kind.before:,}", f"{kind.after:,}", *(_some(count) for count in counts))
    return table


def _catalog_table(changes: tuple[CatalogChange, ...]) -> Table:
    table = _table("Catalog", "change", "count")
    table.add_column("such as")
    for change in changes:
        lines = [
            f"{_named(example.id, example.name)}"
            + (f": {example.before} → {example.after}" if example.before is not None else "")
            for example in change.examples
        ]
        more = change.count - len(lines)
        lines += [f"… {more:,} more"] if more else []
        table.add_row(f"{change.of} {change.change}", f"{change.count:,}", Text("\n".join(lines)))
    return table


def _relation_table(relations: tuple[RelationChange, ...]) -> Table:
    table = _table("Edges", "relation", "A", "B", "added", "gone", "another weight")
    for edge in relations:
        name = Text.assemble(edge.source, (f" ─{edge.relation}→ ", "dim"), edge.target)
        counts = (_some(edge.added), _some(edge.gone), _some(edge.reweighted))
        table.add_row(name, f"{edge.before:,}", f"{edge.after:,}", *counts)
    return table


def _edge_table(relations: tuple[RelationChange, ...]) -> Table:
    table = _table("Edges whose weight changed most, weights as of B", "relation")
    table.add_column("from")
    table.add_column("to")
    for name in ("A", "B"):
        table.add_column(name, justify="right")
    for relation in relations:
        for edge in relation.most:
            weights = (_some(edge.before), _some(edge.after))
            table.add_row(relation.relation, _label(edge.source), _label(edge.target), *weights)
    return table


def _label(node: Node) -> Text:
    return Text(_named(node.id, node.name))


def _named(identifier: str, name: str) -> str:
    return f"{identifier} {name}" if name and name != identifier else identifier


def _some(number: float) -> str:
    if not number:
        return "–"
    return f"{number:,}" if isinstance(number, int) else f"{number:,.4g}"
