"""Alembic, configured in code: the command line needs no alembic.ini and no checkout."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from graph.storage.database import Database
from graph.storage.errors import SchemaError


def config(database: Database | None = None) -> Config:
    """Alembic's configuration. The scripts lie in the installed package."""
    made = Config()
    made.set_main_option("script_location", str(files("migrations")))
    made.attributes["database"] = database
    return made


def upgrade(database: Database, revision: str = "head", *, sql: bool = False) -> None:
    """Brings the schema to `revision`; with `sql` prints the statements instead of running them. Raises SchemaError."""
    with _explained():
        command.upgrade(config(database), revision, sql=sql)


def downgrade(database: Database, revision: str, *, sql: bool = False) -> None:
    """Takes the schema back to `revision` (`base`: no tables, and with them no data). Raises SchemaError."""
    with _explained():
        # Offline, Alembic cannot ask the database where it stands.
        command.downgrade(config(database), f"head:{revision}" if sql else revision, sql=sql)


@cache
def known_revisions() -> tuple[str, ...]:
    """All revisions of this version of penchant, oldest first; the last is the schema it is written for."""
    scripts = ScriptDirectory.from_config(config()).walk_revisions()
    return tuple(script.revision for script in scripts)[::-1]


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except CommandError as error:
        raise SchemaError(
            f"The schema cannot be moved: {error}.",
            hint=f"This version of penchant knows {', '.join(known_revisions())}; a newer one may know more.",
        ) from error
