"""A rejects file as a source: its rows, mended by hand or by a program, are read as rows of the files they came from.

A row that was split into columns has them by name and type, so an id made from its content comes out as it would have
from the file itself. A row that could not be split is text: mended text is split as the rest of its file was, or an
object is put in its place.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from graph.ingest.batch import LINE, Batch
from graph.ingest.dialect import Dialect
from graph.ingest.json_lines import column_of, parse_object
from graph.ingest.mapping import TableMapping, TableName
from graph.ingest.rejects import Reject
from graph.ingest.sources import size
from graph.ingest.streams import Block, blocks


class MendedReader:
    """The rows of one table in a rejects file; LINE is the line there. Every needed column exists."""

    def __init__(self, path: Path, name: TableName, table: TableMapping, *, all_tables: Collection[str] = ()) -> None:
        """`all_tables`: every table has a reader for the whole file; the one that knows all tells of lines of none."""
        self.path = path
        self.table = table
        self.all_tables = all_tables
        self.name = name
        self.columns = list(dict.fromkeys([*table.required(), *table.optional()]))
        next(blocks(path), None)  # refuses what is no text, before anything is stored
        self.total = size(path)

    def batches(self) -> Iterator[Batch]:
        for block in blocks(self.path):
            yield self._batch(block)

    def _batch(self, block: Block) -> Batch:
        rows: list[dict[str, Any]] = []
        numbers: list[int] = []
        rejects: list[Reject] = []
        for number, raw in enumerate(block.text.removesuffix(b"\n").split(b"\n"), block.first_line):
            if not raw.strip():
                continue
            record = parse_object(raw)
            table = record.get("table") if isinstance(record, dict) else None
            if isinstance(record, dict) and table == self.name:
                row = self._row(record)
                if isinstance(row, str):
                    rejects.append(Reject(number, row, str(record.get("row")), _names(record), self._dialect(record)))
                else:
                    rows.append(row)
                    numbers.append(number)
            elif self.all_tables and table not in self.all_tables:
                why = record if isinstance(record, str) else "not a line of a rejects file: it names no table"
                why = why if table is None else f"the mapping describes no such table: {str(table)[:60]!r}"
                rejects.append(Reject(number, why, raw.decode("utf-8", "backslashreplace").strip()))
        names = dict.fromkeys([*self.columns, *(name for row in rows for name in row)])
        columns = [column_of(name, [row.get(name) for row in rows]) for name in names]
        return Batch(pl.DataFrame([*columns, pl.Series(LINE, numbers, pl.Int64)]), block.consumed, rejects)

    def _row(self, record: dict[str, Any]) -> dict[str, Any] | str:
        """The row's values by column, or why there are none."""
        row, names = record.get("row"), _names(record)
        if isinstance(row, dict):
            return row
        if not isinstance(row, str):
            return "the row is neither an object nor text"
        if names is None:
            return parse_object(row.encode("utf-8", "backslashreplace"))
        lines = [f"{line}\n" for line in row.split("\n")]
        values, taken = self._dialect(record).record(lines)
        if isinstance(values, str):
            return values
        if taken < len(lines):
            return "more than one row"
        if len(values) != len(names):
            return f"{len(values)} columns instead of {len(names)}"
        return {name: value or None for name, value in zip(names, values, strict=True)}

    def _dialect(self, record: dict[str, Any]) -> Dialect:
        usual = Dialect.of(self.table, tabs=False)
        delimiter, quoted = record.get("delimiter"), record.get("quoted")
        is_one = isinstance(delimiter, str) and len(delimiter) == 1
        return Dialect(
            str(delimiter) if is_one else usual.delimiter, quoted if isinstance(quoted, bool) else usual.quoted
        )


def _names(record: dict[str, Any]) -> list[str] | None:
    names = record.get("columns")
    return [str(name) for name in names] if isinstance(names, list) else None
