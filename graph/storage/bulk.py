"""Whole columns into a table, and lists of strings into a query, on both engines within the caller's transaction.

Measured against staging in a temporary table, direct appends of resolved columns save the second write of every row.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import polars as pl
from sqlalchemy import (
    JSON,
    BigInteger,
    Connection,
    CursorResult,
    Select,
    Table,
    TableValuedAlias,
    Text,
    bindparam,
    column,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY

from graph.storage.rules import written_json


def append_rows(connection: Connection, table: Table, frame: pl.DataFrame) -> None:
    """Appends `frame`, whose columns are named as the table's; columns it lacks get their defaults."""
    if frame.is_empty():
        return
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(name) for name in frame.columns)
    cursor = connection.connection.cursor()
    try:
        if connection.dialect.name == "sqlite":
            marks = ", ".join("?" * frame.width)
            rows: Any = zip(*(column.to_list() for column in frame), strict=True)  # any iterable will do
            cursor.executemany(f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({marks})", rows)  # noqa: S608  # names of our own tables, quoted
        else:
            with cursor.copy(f"COPY {quote(table.name)} ({columns}) FROM STDIN (FORMAT csv)") as copy:
                # Quoted always: unquoted emptiness is NULL, quoted emptiness an empty string.
                copy.write(frame.write_csv(include_header=False, quote_style="non_numeric"))
    finally:
        cursor.close()


def plain_rows(connection: Connection, query: Select[Any]) -> list[tuple[Any, ...]]:
    """The rows of a `query` over text and integers as the driver has them: SQLAlchemy's cost more than fetching."""
    result = connection.execute(query)
    assert isinstance(result, CursorResult)
    rows = list(result.cursor.fetchall()) if result.cursor is not None else []
    result.close()
    return rows


def read_frame(connection: Connection, query: Select[Any], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """The rows of `query` as columns of `schema`; JSON becomes canonical text (rules.written_json)."""
    rows = connection.execute(query).all()
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(schema)
    series = []
    for (name, kind), values, source in zip(schema.items(), columns, query.selected_columns, strict=True):
        if isinstance(source.type, JSON):
            values = [None if value is None else written_json(value) for value in values]
        series.append(pl.Series(name, values, kind))
    return pl.DataFrame(series)


def listed(
    connection: Connection, of: Iterable[str] | Iterable[int], kind: type[Text] | type[BigInteger] = Text
) -> TableValuedAlias:
    """Any number of strings or integers as a table with the one column `value`, sent as a single parameter."""
    values = list(of)
    if connection.dialect.name == "sqlite":
        return func.json_each(json.dumps(values)).table_valued(column("value", kind))
    strings = bindparam(None, values, type_=ARRAY(kind))
    return func.unnest(strings).table_valued(column("value", kind)).render_derived()
