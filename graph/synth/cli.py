"""`penchant synth`: the command line around write.py."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from graph.storage.cli_errors import explained

_DEFAULT_OUT = Path("shop")


class FormatName(StrEnum):
    CSV = "csv"
    PARQUET = "parquet"


def synth_command(
    out: Annotated[Path, typer.Option(help="A new folder for the files and, below truth/, the truth.")] = _DEFAULT_OUT,
    users: Annotated[int, typer.Option(help="How many users.")] = 10_000,
    items: Annotated[int, typer.Option(help="How many items; at least as many as categories.")] = 2_000,
    categories: Annotated[int, typer.Option(help="How many categories, on three levels.")] = 200,
    events: Annotated[int, typer.Option(help="How many good events: dirty lines come on top.")] = 1_000_000,
    days: Annotated[int, typer.Option(help="Days that they spread over, from 2020-01-01.")] = 365,
    segments: Annotated[int, typer.Option(help="Latent segments with tastes of their own.")] = 6,
    seed: Annotated[int, typer.Option(help="The same seed and sizes give the same bytes.")] = 0,
    dirt: Annotated[
        list[str] | None,
        typer.Option(
            help="Dirty lines per good one: a share for all kinds together, or KIND=SHARE, several times. Kinds: "
            "missing, bad_time, unknown_kind, unknown_item, nan, conflict, duplicate, ragged (csv), cycle."
        ),
    ] = None,
    file_format: Annotated[FormatName, typer.Option("--format", help="Of the files to load.")] = FormatName.CSV,
) -> None:
    """Make up a shop with planted interests, and write the truth about it beside the files.

    Users belong to latent segments and follow several interests, which drift for some. There are busy hours, days and
    seasons, campaigns, items that go viral, bots, repeat purchases and ratings. Load the result with
    `penchant ingest OUT/shop.toml`; OUT/truth/ says what was planted where, dirty lines with their reasons included.
    """
    with explained():
        from graph.synth.options import Options, parse_dirt
        from graph.synth.write import write_shop

        options = Options(
            users=users,
            items=items,
            categories=categories,
            events=events,
            days=days,
            segments=segments,
            seed=seed,
            format=file_format.value,
            dirt=parse_dirt(dirt or [], file_format.value),
        )
        screen = Console(stderr=True)
        columns = (TextColumn("events"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
            task = bar.add_task("", total=events)
            written = write_shop(options, out, lambda done: bar.update(task, completed=done))
    table = Table("table", "lines", "dirty", title=f"Made up in {out}", title_justify="left")
    dirty = {"categories": written.dirt["cycle"], "events": written.dirt.total() - written.dirt["cycle"]}
    for name, lines in written.lines.items():
        table.add_row(name, f"{lines:,}", f"{dirty[name]:,}" if dirty.get(name) else "–")
    screen.print(table)
    for kind, count in written.dirt.most_common():
        screen.print(f"{count:>9,} {kind}", highlight=False)
    screen.print(f"Load it: penchant ingest {written.mapping}", markup=False, highlight=False)
