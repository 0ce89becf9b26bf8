"""`penchant graph`: look at what the store holds as a graph."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from graph.storage.times import parse_time

graph_app = typer.Typer(help="Look at the graph that the events and the catalog make.", no_args_is_help=True)


@graph_app.command("inspect")
def inspect_command(
    as_of: Annotated[
        str | None,
        typer.Option(
            help="Events before this time, e.g. 2026-01-31T12:00:00Z; no zone means UTC.",
            show_default="after the newest event",
        ),
    ] = None,
    known_at: Annotated[
        str | None, typer.Option(help="Only what had been recorded by this time.", show_default="now")
    ] = None,
    png: Annotated[Path | None, typer.Option(help="Also draw the graph into this file.")] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of the store.", show_default="PENCHANT_DATABASE_URL")
    ] = None,
    artifacts: Annotated[
        Path | None,
        typer.Option(help="Folder in which a refresh kept the graph.", show_default="PENCHANT_ARTIFACTS"),
    ] = None,
) -> None:
    """Show nodes, edges, degrees, what is isolated and what holds together, as of a time."""
    with explained():
        given = {"--as-of": as_of, "--known-at": known_at}
        moments = {option: None if text is None else _time(option, text) for option, text in given.items()}
        if png is not None:
            _refuse_bad_target(png)
        status = Console(stderr=True)
        with status.status("Loading PyTorch Geometric …"):
            from graph.build import build_graph
            from graph.inspect import inspect_graph, render
            from graph.picture import draw_graph
            from graph.snapshot import take_snapshot
            from graph.state.current import STATE, current_graph
        store = Database(database or Settings().database_url)
        store.require_schema()
        before, known = moments["--as-of"], moments["--known-at"]
        kept = (artifacts or Settings().artifacts) / STATE
        if kept.is_dir():
            with status.status("Counting on from the last refresh …"):
                current = current_graph(store, kept, as_of=before, known_at=known, keep=False, say=status.print)
                snapshot, graph = current.snapshot, current.graph
        else:
            with status.status("Reading events and catalog …"):
                snapshot = take_snapshot(store, as_of=before, known_at=known)
            with status.status(f"Building the graph of {len(snapshot.events):,} events …"):
                graph = build_graph(snapshot)
        with status.status("Measuring it …"):
            report = inspect_graph(snapshot, graph)
        Console().print(render(report))
        if png is not None:
            with status.status(f"Drawing {png} …"):
                draw_graph(snapshot, graph, report, png)
            Console().print(f"Picture: {png}")
        store.close()


@graph_app.command("diff")
def diff_command(
    before: Annotated[str, typer.Argument(metavar="A", help="A time, TIME@KNOWN, now, or a version such as m7.12.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same; usually the later one.")],
    top: Annotated[int, typer.Option(min=0, help="Items, categories and edges named for each change.")] = 5,
    edges: Annotated[bool, typer.Option(help="Build both graphs and compare their edges; --no-edges is quick.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    database: Annotated[
        str | None, typer.Option(help="URL of the store.", show_default="PENCHANT_DATABASE_URL")
    ] = None,
) -> None:
    """Show what changed between two moments of the store: events, catalog, edges, and the hashes of both.

    A moment is a time (events before it, as known now), TIME@KNOWN (only what had been recorded by KNOWN), `now` (after
    the newest event), or a model's version: the moment that it was made from.
    """
    with explained():
        status = Console(stderr=True)
        with status.status("Loading PyTorch Geometric …"):
            from graph.diff.moments import parse_moment, take_both
            from graph.diff.report import diff_snapshots
            from graph.diff.view import render
        store = Database(database or Settings().database_url)
        store.require_schema()
        moments = parse_moment(before, store), parse_moment(after, store)
        with status.status("Reading events and catalog …"):
            snapshots = take_both(store, *moments)
        with status.status("Comparing them …"):
            diff = diff_snapshots(moments, snapshots, n_named=top, with_edges=edges)
        if as_json:
            typer.echo(json.dumps(diff.as_dict(), indent=1, ensure_ascii=False))
        else:
            Console().print(render(diff))
        store.close()


def _time(option: str, text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        raise BadInputError(
            f"{option} {text!r} is no time.", hint="Write 2026-01-31 or 2026-01-31T12:00:00Z."
        ) from error


def _refuse_bad_target(png: Path) -> None:
    """Before the work, not after it."""
    if png.suffix.lower() != ".png":
        raise BadInputError(f"--png {png}: the picture is a PNG.", hint="Let the name end in .png.")
    if not png.parent.is_dir():
        raise BadInputError(f"--png {png}: there is no folder {png.parent}.", hint="Create it, or name another.")
