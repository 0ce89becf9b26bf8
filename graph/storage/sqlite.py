"""SQLite: how a connection is set up, and how rows become columns.

Reading goes through Python's own `sqlite3` and not through ADBC, whose driver carries a second copy of SQLite. Two
copies in one process cannot see each other's file locks, and closing a file in one drops the locks of the other: we saw
the second copy delete a live write-ahead log, and with it committed rows (sqlite.org/howtocorrupt.html, 2.2.1).
"""

import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from graph.storage.errors import BadInputError

BUSY_TIMEOUT_MS = 60_000
READ_ROWS = 4_096
"""Rows at once: few enough for the processor's cache, in which turning rows into columns is twice as fast."""

IMMEDIATE = "penchant_immediate"
"""Execution option: the transaction takes the write lock at its start. One that reads first and writes later is refused
by SQLite when another writer came between, and no waiting helps it."""

RESOLVED = "penchant_resolved"
"""Execution option: the transaction looks up every row that it refers to, itself and under the write lock. SQLite does
not look them up again: its checks of foreign keys cost a third of an insert."""

PAGE_BYTES = 4096
FILE = "penchant_file"
"""In a connection's notes: which file it has open."""

CACHE_MIB = 64
"""The unique index of event ids is written at random places."""


def make_engine(url: URL, cache_mib: int = CACHE_MIB, patience_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """An engine on a database file, created if missing. Raises BadInputError for an in-memory one.

    `cache_mib`: memory that a connection may take for pages of the file. `patience_ms`: how long another writer may
    hold its lock before we give up.
    """
    if url.database in (None, "", ":memory:"):
        raise BadInputError(
            "The store cannot live in memory: every connection would see a database of its own.",
            hint="Name a file, e.g. sqlite:///penchant.db.",
        )
    folder = Path(str(url.database)).parent
    if not str(url.database).startswith("file:") and not folder.is_dir():
        raise BadInputError(f"The folder {folder} of the database does not exist.", hint="Create it, or name another.")
    engine = create_engine(url, connect_args={"timeout": patience_ms / 1000, "check_same_thread": False})
    event.listen(engine, "connect", lambda connection, _record: set_up(connection, cache_mib, patience_ms))
    event.listen(engine, "begin", _begin)
    event.listen(engine, "checkin", _check_again)
    if not str(url.database).startswith("file:"):
        _watch(engine, str(url.database))
    return engine


def _watch(engine: Engine, path: str) -> None:
    """A file that was removed lives on for who has it open, and nobody else would ever see what is written to it. So a
    connection counts only while its file has the name, and a file that is gone is not made anew, and empty."""
    was_there = False

    def do_connect(*_: object) -> None:
        if was_there and _file_at(path) is None:
            raise sqlite3.OperationalError(f"the file {path} is gone")

    def connected(_: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        nonlocal was_there
        was_there = True
        record.info[FILE] = _file_at(path)

    def taken(_: sqlite3.Connection, record: ConnectionPoolEntry, __: object) -> None:
        if record.info.get(FILE) != _file_at(path):
            raise DisconnectionError

    event.listen(engine, "do_connect", do_connect)
    event.listen(engine, "connect", connected)
    event.listen(engine, "checkout", taken)


def _file_at(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def set_up(connection: sqlite3.Connection, cache_mib: int = CACHE_MIB, patience_ms: int = BUSY_TIMEOUT_MS) -> None:
    """What every connection of ours is set to."""
    connection.isolation_level = None  # we say BEGIN ourselves; Python's own would leave DDL outside transactions
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged event survives a power cut
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA busy_timeout = {patience_ms}")
    cursor.execute("PRAGMA temp_store = MEMORY")
    cursor.execute(f"PRAGMA cache_size = -{cache_mib << 10}")
    if cache_mib > CACHE_MIB:  # a load writes the same pages batch after batch: they go to their places less often
        cursor.execute(f"PRAGMA wal_autocheckpoint = {(cache_mib << 20) // PAGE_BYTES}")
    cursor.close()


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    immediate = options.get(IMMEDIATE, False)
    if options.get(RESOLVED, False):
        connection.exec_driver_sql("PRAGMA foreign_keys = OFF")  # says nothing once a transaction has begun
        connection.info[RESOLVED] = True
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _check_again(connection: sqlite3.Connection | None, record: ConnectionPoolEntry) -> None:
    """The connection goes back to the pool, and its next transaction may be another's."""
    if record.info.pop(RESOLVED, False) and connection is not None:
        connection.execute("PRAGMA foreign_keys = ON")


def read_columns(connection: Connection, sql: str, schema: pa.Schema) -> pa.Table:
    """The rows of `sql` as columns of `schema`."""
    with _no_collection():
        return pa.Table.from_batches(_batches(connection, sql, schema), schema=schema)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of row tuples would start the garbage collector thousands of times, and none of them is in a cycle."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _batches(connection: Connection, sql: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    cursor = connection.connection.cursor()
    try:
        cursor.execute(sql)
        while rows := cursor.fetchmany(READ_ROWS):
            columns = zip(*rows, strict=True)
            arrays = [_array(values, field.type) for values, field in zip(columns, schema, strict=True)]
            yield pa.record_batch(arrays, schema=schema)
    finally:
        cursor.close()


def _array(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):  # SQLite has no booleans, only 0 and 1
        return pa.array(values, pa.int8()).cast(kind)
    return pa.array(values, kind)
