"""`penchant ingest`: the command line around load.py; progress and the summary go to the terminal's error stream."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from graph.ingest.cleaning import parse
from graph.ingest.load import REJECTED, REPEATED, TableSummary, load
from graph.ingest.mapping import Mapping, TableName, load_mapping
from graph.ingest.sources import STANDARD_INPUT, expanded, shown
from graph.ingest.tolerance import parse_tolerance
from graph.storage.cli_errors import explained
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.outcomes import Outcome
from graph.storage.settings import Settings

console = Console(stderr=True)

_REASONS_SHOWN = 12
CLEANING = "Cleaning that changes what the data mean: off unless asked for; files are read more than once"
LOAD_CACHE_MIB = 256
"""More than a server's connections have: a load writes all over the indexes, and is alone."""


def ingest_command(
    mapping: Annotated[Path, typer.Argument(help="TOML file that says which column of the source is what.")],
    items: Annotated[
        Path | None, typer.Option(help="File of the items, instead of the mapping's; a quoted glob, or - for stdin.")
    ] = None,
    users: Annotated[Path | None, typer.Option(help="The same for users.")] = None,
    events: Annotated[Path | None, typer.Option(help="The same for events.")] = None,
    categories: Annotated[Path | None, typer.Option(help="The same for categories.")] = None,
    base: Annotated[
        Path | None, typer.Option(help="Folder of the files that the mapping names; its own folder by default.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Load this table alone; may be given several times.")] = None,
    database: Annotated[
        str | None, typer.Option(help="URL of the store.", show_default="PENCHANT_DATABASE_URL")
    ] = None,
    rejects: Annotated[
        Path | None,
        typer.Option(help="JSON Lines file for rows that cannot be used: MAPPING.rejects.jsonl by default."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first row that cannot be used.")] = False,
    max_rejects: Annotated[
        str | None, typer.Option(help="Stop when more of a table's rows are rejected: a number, or a share such as 1%.")
    ] = None,
    from_rejects: Annotated[
        Path | None, typer.Option(help="Load the rows of this rejects file, mended, instead of the tables' files.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files; write nothing to the store.")] = False,
    missing: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=drop|mean|median|mode: what becomes of missing numbers. FIELD: events.value, items.price, …",
            rich_help_panel=CLEANING,
        ),
    ] = None,
    outliers: Annotated[
        list[str] | None,
        typer.Option(
            help="FIELD=zscore:3 or FIELD=iqr:1.5: numbers farther out count as missing.", rich_help_panel=CLEANING
        ),
    ] = None,
    drop_bots: Annotated[
        int | None,
        typer.Option(help="Drop users with more events than this in one hour.", rich_help_panel=CLEANING),
    ] = None,
    repeats_within_s: Annotated[
        float | None,
        typer.Option(
            help="Of the same user, item and kind again in less seconds, keep the first.", rich_help_panel=CLEANING
        ),
    ] = None,
    k_core: Annotated[
        int | None,
        typer.Option(help="Drop users and items with fewer events, until none is left.", rich_help_panel=CLEANING),
    ] = None,
) -> None:
    """Load catalog, users and events from CSV, TSV, JSON Lines or Parquet. Running it again doubles nothing.

    Text may be packed with gzip or zstd. Exit codes: 0 loaded (look at the summary for rejected rows), 1 every row of a
    table was rejected, 2 a file, the mapping or the store cannot be used, or --strict or --max-rejects stopped it.
    """
    with explained():
        plan = load_mapping(mapping)
        cleaning = parse(
            missing or [],
            outliers or [],
            bots_per_hour=drop_bots,
            repeats_within_s=repeats_within_s,
            k_core=k_core,
        )
        given = {"items": items, "users": users, "events": events, "categories": categories}
        tolerance = parse_tolerance(max_rejects, strict=strict)
        files = _files(plan, base or mapping.parent, given, only, from_rejects)
        rejects = rejects or Path(f"{(from_rejects or mapping).stem}.rejects.jsonl")
        read = [path for given_path in files.values() for path in expanded(given_path)]
        if any(rejects.resolve() == path.resolve() for path in [*read, mapping] if path != STANDARD_INPUT):
            raise BadInputError(f"--rejects {rejects} would overwrite the file that is read.", hint="Name another one.")
        store = None if dry_run else Database(database or Settings().database_url, cache_mib=LOAD_CACHE_MIB)
        try:
            with _progress() as progress:
                tasks = {name: progress.add_task(name, total=None) for name in plan.tables() if name in files}
                summaries = load(
                    store,
                    plan,
                    files,
                    rejects,
                    lambda table, done, total: progress.update(tasks[table], completed=done, total=total or None),
                    tolerance=tolerance,
                    mended=from_rejects is not None,
                    cleaning=cleaning,
                )
        finally:
            if store is not None:
                store.close()
    _print(summaries, rejects, dry_run=dry_run)
    if any(summary.rows and summary.counts[REJECTED] == summary.rows for summary in summaries):
        raise typer.Exit(1)


def _files(
    mapping: Mapping, base: Path, given: dict[str, Path | None], only: list[str] | None, from_rejects: Path | None
) -> dict[TableName, Path]:
    """The file (or glob) of each table to load. Raises BadInputError for a table that the mapping does not describe."""
    described = mapping.tables()
    for name in [*(only or []), *(name for name, path in given.items() if path is not None)]:
        if name not in described:
            raise BadInputError(f"The mapping describes no table {name!r}.", hint=f"It has {', '.join(described)}.")
    files = mapping.files(base)
    for name in described:
        if path := from_rejects or given[name]:
            files[name] = path
    files = {name: files[name] for name in described if name in files and (not only or name in only)}
    if from_rejects is not None and any(given.values()):
        raise BadInputError("--from-rejects takes the place of the tables' files.", hint="Leave them out.")
    if not files:
        hint = "Write file = … into the mapping, or name a file with --items, --users, --events or --categories."
        raise BadInputError("There is no file to load.", hint=hint)
    return files


def _progress() -> Progress:
    columns = (TextColumn("{task.description:>10}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _print(summaries: list[TableSummary], rejects: Path, *, dry_run: bool) -> None:
    outcomes = ["accepted", "duplicate", "unchanged", REPEATED, Outcome.CLEANED.value, REJECTED]
    names = [name for name in outcomes if any(summary.counts[name] for summary in summaries)]
    table = Table(title="Checked, nothing written" if dry_run else "Loaded", title_justify="left")
    table.add_column("table")
    table.add_column("file")
    for name in ["rows", *names, "seconds"]:
        table.add_column(name, justify="right")
    for summary in summaries:
        counts = [f"{summary.counts[name]:,}" if summary.counts[name] else "–" for name in names]
        table.add_row(summary.table, shown(summary.files), f"{summary.rows:,}", *counts, f"{summary.seconds:.1f}")
    console.print(table)
    for summary in summaries:
        for note in summary.notes:
            console.print(f"{summary.table}: {note}", markup=False)
    reasons = [(s.table, reason, count) for s in summaries for reason, count in s.reasons.most_common()]
    for name, reason, count in reasons[:_REASONS_SHOWN]:
        console.print(f"{count:>9,} {name} rejected: {reason}", markup=False, highlight=False)
    if len(reasons) > _REASONS_SHOWN:
        console.print(f"{'':>9} … {len(reasons) - _REASONS_SHOWN} more reasons")
    if reasons:
        console.print(f"Rejected rows with line and reason: {rejects}", markup=False)
