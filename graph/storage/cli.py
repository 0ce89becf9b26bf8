"""`penchant db`: the schema up, down and where it stands, and whether what is stored makes sense."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from graph.storage.check import check
from graph.storage.cli_errors import explained
from graph.storage.cli_kinds import HalfLife, Middle, Name, Sign, Weight, show_or_set
from graph.storage.database import Database
from graph.storage.settings import Settings

db_app = typer.Typer(help="The store: its schema, and whether what it holds makes sense.", no_args_is_help=True)

Url = Annotated[str | None, typer.Option("--database", help="URL of the store.", show_default="PENCHANT_DATABASE_URL")]
Sql = Annotated[bool, typer.Option("--sql", help="Print the statements instead of running them.")]


@db_app.command("upgrade")
def upgrade_command(
    revision: Annotated[str, typer.Argument(help="Schema revision to reach.")] = "head",
    database: Url = None,
    sql: Sql = False,
) -> None:
    """Bring the schema up to date; creates the store where there is none. Harmless when there is nothing to do."""
    from migrations.commands import upgrade  # loads Alembic, which no other command line should wait for

    with _opened(database) as store:
        upgrade(store, revision, sql=sql)
        if not sql:
            typer.echo(f"{store!r} has schema {store.schema_revision()}.")


@db_app.command("downgrade")
def downgrade_command(
    revision: Annotated[str, typer.Argument(help="Schema revision to go back to; `base` removes all tables.")],
    database: Url = None,
    sql: Sql = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before data is lost.")] = False,
) -> None:
    """Take the schema back, and with it the data that only the newer one can hold."""
    from migrations.commands import downgrade

    with _opened(database) as store:
        if revision == "base" and not sql and not yes:
            typer.confirm(f"{store!r} will lose everything it holds. Go on?", abort=True)
        downgrade(store, revision, sql=sql)
        if not sql:
            typer.echo(f"{store!r} has schema {store.schema_revision() or 'base'}.")


@db_app.command("current")
def current_command(database: Url = None) -> None:
    """Show the schema of the store and the one that this version needs."""
    from migrations.commands import known_revisions

    with _opened(database) as store:
        typer.echo(f"{store!r} has schema {store.schema_revision() or 'base'}; penchant needs {known_revisions()[-1]}.")
        store.require_schema()


@db_app.command("check")
def check_command(
    database: Url = None,
    artifacts: Annotated[
        Path | None, typer.Option(help="Folder of the published models.", show_default="PENCHANT_ARTIFACTS")
    ] = None,
) -> None:
    """Look for what cannot be right in the store; exit code 1 when something is found."""
    with _opened(database) as store:
        store.require_schema()
        with Console(stderr=True).status("Checking …"):
            problems = check(store, artifacts=artifacts or Settings().artifacts)
        for problem in problems:
            typer.echo(problem)
        if problems:
            raise typer.Exit(1)
        typer.echo(f"{store!r} is sound.")


@db_app.command("kinds")
def kinds_command(
    name: Name = None,
    weight: Weight = None,
    sign: Sign = None,
    half_life_days: HalfLife = None,
    middle: Middle = None,
    database: Url = None,
) -> None:
    """Show what each kind of event says of its user's interest, or change one. Servers follow within a second."""
    with _opened(database) as store:
        show_or_set(store, name, weight, sign, half_life_days, middle)


@contextmanager
def _opened(url: str | None) -> Iterator[Database]:
    with explained():
        store = Database(url or Settings().database_url)
        try:
            yield store
        finally:
            store.close()
