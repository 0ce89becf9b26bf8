"""PostgreSQL: the engine, and columns read through ADBC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from sqlalchemy import Engine, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL

from graph.storage.columns import fitted

# Literals stand in the text that ADBC gets; psycopg's own paramstyle would double every per cent sign in them.
dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]  # SQLAlchemy has no types there

PATIENCE_MS = 10_000


def make_engine(url: URL, patience_ms: int = PATIENCE_MS) -> Engine:
    """`patience_ms`: how long a server may take to accept a connection, and to acknowledge what was sent to it; and how
    long somebody waits for another to be done with a connection."""
    options = {"connect_timeout": max(2, patience_ms // 1_000), "tcp_user_timeout": patience_ms}
    return create_engine(url, pool_pre_ping=True, pool_timeout=patience_ms / 1_000, connect_args=options)


def libpq_uri(url: URL) -> str:
    """The same address without SQLAlchemy's driver name, as ADBC and psql understand it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def adbc(url: URL) -> Iterator[Any]:
    """An ADBC connection (`adbc_driver_manager.dbapi.Connection`) to the same database."""
    import adbc_driver_postgresql.dbapi  # loads pandas where it is installed, which no command should wait for

    connection = adbc_driver_postgresql.dbapi.connect(libpq_uri(url))
    try:
        yield connection
    finally:
        connection.close()


def read_columns(url: URL, sql: str, schema: pa.Schema) -> pa.Table:
    """The rows of `sql` as columns of `schema`."""
    with stream(url, sql, schema) as batches:
        return pa.Table.from_batches(batches, schema=schema)


@contextmanager
def stream(url: URL, sql: str, schema: pa.Schema) -> Iterator[Iterator[pa.RecordBatch]]:
    """The rows of `sql` in batches of `schema`, all of one moment. Raises psycopg's errors, as other statements do."""
    with _as_psycopg(), adbc(url) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        yield (fitted(batch, schema) for batch in _batches(cursor.fetch_record_batch()))
        connection.rollback()


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except OSError as error:  # Arrow's word for a server that went away in the middle
        raise psycopg.OperationalError(str(error)) from error


@contextmanager
def _as_psycopg() -> Iterator[None]:
    import adbc_driver_manager

    try:
        yield
    except adbc_driver_manager.Error as error:
        # Without a state it is the connection that failed.
        kind = psycopg.errors.lookup(error.sqlstate) if error.sqlstate else psycopg.OperationalError
        raise kind(str(error)) from error
