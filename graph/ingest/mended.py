"""A rejects file as a source: its rows, mended by hand or by a program, are read as rows of the files they came from.

A row that was split into columns has them by name and type, so an id made from its content comes out as it would have
from the file itself. A row that could not be split is text: mended text is read by the rules of the table's format, or
an object is put in its place.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from graph.ingest.batch import LINE, Batch
from graph.ingest.json_lines import column_of, parse_object
from graph.ingest.mapping import SUFFIXES, TableMapping, TableName
from graph.ingest.rejects import Reject
from graph.ingest.sources import size, unpacked_name
from graph.ingest.streams import Block, blocks


class MendedReader:
    """The rows of one table in a rejects file; LINE is the line there. Every needed column exists."""

    def __init__(self, path: Path, name: TableName, table: TableMapping, *, reports_broken: bool) -> None:
        """`reports_broken`: each table's reader goes through the whole file; one of them tells of lines of no table."""
        self.path = path
        self.table = table
        self.reports_broken = reports_broken
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
            record = parse_object(raw) if raw.strip() else {"table": ""}
            if isinstance(record, str) or not isinstance(record.get("table"), str):
                why = record if isinstance(record, str) else "not a line of a rejects file: it names no table"
                if self.reports_broken:
                    rejects.append(Reject(number, why, raw.decode("utf-8", "backslashreplace").strip()))
            elif record["table"] == self.name:
                row = self._row(record)
                if isinstance(row, str):
                    rejects.append(Reject(number, row, str(record.get("row")), _names(record)))
                else:
                    rows.append(row)
                    numbers.append(number)
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
        tabs = (self.table.format or SUFFIXES.get(unpacked_name(Path(str(record.get("file")))).suffix)) == "tsv"
        delimiter = self.table.delimiter or ("\t" if tabs else ",")
        if (self.table.quoting or ("none" if tabs else "standard")) == "none":
            values = row.split(delimiter)
        else:
            try:
                values = next(csv.reader(row.splitlines(keepends=True), delimiter=delimiter, strict=True), [])
            except csv.Error as error:
                return f"not readable as a row: {error}"
        if len(values) != len(names):
            return f"{len(values)} columns instead of {len(names)}"
        return {name: value or None for name, value in zip(names, values, strict=True)}


def _names(record: dict[str, Any]) -> list[str] | None:
    names = record.get("columns")
    return [str(name) for name in names] if isinstance(names, list) else None
