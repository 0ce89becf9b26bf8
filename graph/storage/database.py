"""The store: one URL, transactions, and reading whole columns."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeVar

import psycopg
import pyarrow as pa
from sqlalchemy import Boolean, Connection, Engine, Float, Integer, Select, inspect, make_url, text
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.types import TypeEngine

from graph.storage import postgresql, sqlite
from graph.storage.errors import BadInputError, SchemaError, StoreUnavailableError

UPGRADE = "Run `penchant db upgrade`."
ATTEMPTS = 5
OVERTAKEN = frozenset({"23505", "40001", "40P01"})
"""SQLSTATE of unique_violation, serialization_failure and deadlock_detected."""

Result = TypeVar("Result")


class Connections(NamedTuple):
    in_use: int
    limit: int


class Database:
    """A store on SQLite (`sqlite:///file.db`) or PostgreSQL (`postgresql+psycopg://…`). Threads may share it."""

    def __init__(self, url: str | URL, *, cache_mib: int = sqlite.CACHE_MIB, patience_ms: int | None = None) -> None:
        """Opens lazily: nothing is contacted before the first use. Raises BadInputError for an unusable `url`.

        `cache_mib`: pages that a connection may keep, of SQLite; PostgreSQL has memory of its own.
        `patience_ms`: how long to wait for another writer on SQLite (a minute if not given), for a connection to
        PostgreSQL (ten seconds), before that is a StoreUnavailableError.
        """
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine: Engine = (
            sqlite.make_engine(self.url, cache_mib, patience_ms or sqlite.BUSY_TIMEOUT_MS)
            if self.is_sqlite
            else postgresql.make_engine(self.url, patience_ms or postgresql.PATIENCE_MS)
        )
        self._writer = self.engine.execution_options(**{sqlite.IMMEDIATE: True})

    def __repr__(self) -> str:
        return f"Database({self.url.render_as_string(hide_password=True)})"

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection for reading. Raises StoreUnavailableError or SchemaError instead of the driver's errors."""
        with _explained(self), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def cursor(self) -> Iterator[DBAPICursor]:
        """The driver's own cursor, for reading what is asked many times a second. Raises as `connect` does."""
        with _explained(self):
            connection = self.engine.raw_connection()
            try:
                yield connection.cursor()
            finally:
                connection.close()

    @contextmanager
    def begin(self, *, resolved: bool = False) -> Iterator[Connection]:
        """A write transaction, committed at the end and rolled back by an exception. Raises as `connect` does.

        `resolved`: it looks up every row that it refers to, so that SQLite need not do it again.
        """
        writer = self._writer.execution_options(**{sqlite.RESOLVED: True}) if resolved else self._writer
        with _explained(self), writer.begin() as connection:
            yield connection

    def transact(self, work: Callable[[Connection], Result], *, resolved: bool = False) -> Result:
        """Runs `work` in a write transaction; again from the start where another writer on PostgreSQL came before it.

        `work` looks first and writes then; between the two another transaction may have added the same row, or wait for
        ours while ours waits for it. The next look sees what it did. Whatever `work` changes in memory must allow that.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                with self.begin(resolved=resolved) as connection:
                    return work(connection)
            except (DBAPIError, psycopg.Error) as error:
                if not _was_overtaken(error):
                    raise
        with self.begin(resolved=resolved) as connection:
            return work(connection)

    def read(self, statement: Select[Any] | str, schema: pa.Schema | None = None) -> pa.Table:
        """The rows of `statement` as an Arrow table, column-wise.

        A `Select` brings its own column types (cast a JSON column to Text); plain SQL needs the `schema` of its answer.
        """
        if isinstance(statement, str):
            if schema is None:
                raise TypeError("plain SQL says nothing of its types; give the schema")
            sql = statement
        else:
            schema = schema or arrow_schema(statement)
            sql = self.sql(statement)
        if not self.is_sqlite:
            with self.explained():
                return postgresql.read_columns(self.url, sql, schema)
        with self.connect() as connection:
            return sqlite.read_columns(connection, sql, schema)

    def sql(self, statement: Select[Any]) -> str:
        """The statement as text, its parameters written into it, for drivers that SQLAlchemy does not know."""
        dialect = self.engine.dialect if self.is_sqlite else postgresql.dialect
        return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))

    def explained(self) -> AbstractContextManager[None]:
        """Within it a driver's errors become StoreUnavailableError and SchemaError."""
        return _explained(self)

    def connections(self) -> Connections:
        """How many connections of the pool are taken, and how many it may open."""
        pool: Any = self.engine.pool
        return Connections(pool.checkedout(), pool.size() + pool._max_overflow)

    def schema_revision(self) -> str | None:
        """The Alembic revision of the database, None when it holds no penchant schema."""
        with self.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def require_schema(self) -> None:
        """Raises SchemaError, naming the command to run, unless this version of penchant can run on the database."""
        from migrations.commands import known_revisions  # loads Alembic, which nothing else here needs

        found, known = self.schema_revision(), known_revisions()
        if found is None:
            raise SchemaError(f"{self!r} holds no penchant schema.", hint=UPGRADE)
        if found == known[-1]:
            return
        if found in known:
            raise SchemaError(f"{self!r} has schema {found}, this version needs {known[-1]}.", hint=UPGRADE)
        with self.connect() as connection:
            oldest = connection.execute(text("SELECT oldest_server_schema FROM schema_compatibility")).scalar()
        if oldest not in known:
            raise SchemaError(
                f"{self!r} has schema {found}, which says that this version (schema {known[-1]}) is too old for it.",
                hint="Install a newer penchant, or run `penchant db downgrade` with the one that upgraded it.",
            )

    def close(self) -> None:
        self.engine.dispose()


def parse_url(url: str | URL) -> URL:
    """Raises BadInputError for what is neither SQLite nor PostgreSQL."""
    hint = "Use sqlite:///file.db or postgresql+psycopg://user:password@host/name."
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # the latter for a port that is no number, which may be half of a password
        raise BadInputError("The database URL cannot be read.", hint=hint) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "postgresql+psycopg"):
        raise BadInputError(f"penchant does not run on {parsed.drivername}.", hint=hint)
    return parsed


def arrow_schema(statement: Select[Any]) -> pa.Schema:
    """The Arrow types of a statement's columns: int64, double, bool or string."""
    return pa.schema([(column.name, _arrow_type(column.type)) for column in statement.selected_columns])


def _arrow_type(kind: TypeEngine[Any]) -> pa.DataType:
    if isinstance(kind, Boolean):
        return pa.bool_()
    if isinstance(kind, Integer):  # and its subclasses BigInteger, SmallInteger
        return pa.int64()
    return pa.float64() if isinstance(kind, Float) else pa.string()


@contextmanager
def _explained(database: Database) -> Iterator[None]:
    """Turns what a driver raises into what a person can act on."""
    try:
        yield
    except (DBAPIError, psycopg.Error, sqlite3.Error) as error:
        # SQLAlchemy wraps the driver's error; COPY, and what goes to a driver's own cursor, shows it bare.
        cause = error.orig if isinstance(error, DBAPIError) else error
        message = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        if "no such table" in message or isinstance(cause, psycopg.errors.UndefinedTable):
            raise SchemaError(f"{database!r} lacks a table.", hint=UPGRADE) from error
        broken = type(cause) is sqlite3.DatabaseError  # no database, or a damaged one
        unanswered = broken or isinstance(
            cause, sqlite3.OperationalError | psycopg.OperationalError | psycopg.InterfaceError
        )
        if unanswered and not _was_overtaken(error):
            raise StoreUnavailableError(
                f"{database!r} does not answer: {message}.", hint="Check that it runs and try again."
            ) from error
        raise
    except PoolTimeout as error:
        raise StoreUnavailableError(
            f"{database!r} is busy: no connection came free.", hint="Try again, or send less at once."
        ) from error


def _was_overtaken(error: DBAPIError | psycopg.Error | sqlite3.Error) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) in OVERTAKEN
