"""Reading a large table: batch by batch, so that no more than a few batches of it exist as the store has them.

PostgreSQL streams through ADBC. SQLite is read by processes of their own (sqlite_reader.py), each a range of the key,
and below MANY rows by Python's `sqlite3` in this one, which is slower and needs no start.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pyarrow as pa
from sqlalchemy import ColumnElement, Select, func, select

from graph.storage import postgresql
from graph.storage.columns import fitted
from graph.storage.database import Database, arrow_schema
from graph.storage.errors import StoreUnavailableError
from graph.threads import cores, in_threads

MANY = 400_000
"""Rows that take as long in this process as the start of another one."""
READERS = 4
"""At most so many processes read one table."""

R = TypeVar("R")


def scan(
    database: Database,
    statement: Select[Any],
    key: ColumnElement[int],
    convert: Callable[[pa.RecordBatch], R],
    *,
    above: int | None = None,
) -> list[R]:
    """`convert` of each batch of the statement's rows, in no order; it is called from several threads.

    `key` is an ascending number of the table that is only ever appended to; only rows with a key `above` one are read,
    where it is given. Rows added while it reads are left out on SQLite: all batches are of one moment on both engines.
    Raises StoreUnavailableError, SchemaError.
    """
    schema = arrow_schema(statement)
    statement = statement if above is None else statement.where(key > above)
    if not database.is_sqlite:
        with database.explained(), postgresql.stream(database.url, database.sql(statement), schema) as rows:
            return [convert(batch) for batch in rows]
    with database.connect() as connection:
        # Each end by itself: asked for both at once, SQLite looks at every row.
        most = connection.execute(select(func.coalesce(func.max(key), -1))).scalar_one()
        first = connection.execute(select(func.coalesce(func.min(key), 0))).scalar_one()
    least = first if above is None else max(first, above + 1)
    if most < least:
        return []
    path = str(database.url.database)
    if most - least < MANY or path.startswith("file:"):
        table = database.read(statement.where(key <= most))
        return [convert(batch) for batch in table.to_batches()]
    readers = min(READERS, cores())
    bounds = [least + (most + 1 - least) * part // readers for part in range(readers + 1)]

    def part(number: int) -> list[R]:
        sql = database.sql(statement.where(key >= bounds[number], key < bounds[number + 1]))
        with _reader(database, sql, schema) as batches:
            return [convert(batch) for batch in batches]

    return [one for found in in_threads(part, range(readers)) for one in found]


@contextmanager
def _reader(database: Database, sql: str, schema: pa.Schema) -> Iterator[Iterator[pa.RecordBatch]]:
    """Batches of `schema` from a process that ends with this context. StoreUnavailableError when it ends before."""
    types = [str(field.type) for field in schema]
    command = [sys.executable, "-m", "graph.storage.sqlite_reader", str(database.url.database), sql, *types]
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, stdin=subprocess.DEVNULL) as process,
    ):

        def batches() -> Iterator[pa.RecordBatch]:
            for batch in read():
                try:
                    yield fitted(batch, schema)
                except pa.ArrowException as error:  # text in a column of numbers: SQLite takes anything
                    raise StoreUnavailableError(
                        f"{database!r} holds a value that does not fit its column: {error}.",
                        hint="`penchant db check` names such rows.",
                    ) from error

        def read() -> Iterator[pa.RecordBatch]:
            try:
                with pa.ipc.open_stream(process.stdout) as stream:
                    yield from stream
            except (pa.ArrowInvalid, OSError) as error:
                raise failure() from error
            if process.wait() != 0:
                raise failure()

        def failure() -> StoreUnavailableError:
            code = process.wait()
            complaints.seek(0)
            said = complaints.read().decode(errors="replace").strip().splitlines() or [f"exit code {code}"]
            return StoreUnavailableError(
                f"A process that read {database!r} ended early: {said[-1]}.",
                hint="Check that the file is whole (`penchant db check`) and that memory suffices; try again.",
            )

        try:
            yield batches()
        finally:
            if process.poll() is None:
                process.kill()
