"""Choose the reader for a file, and refuse a file that is bad as a whole before any row of it is stored."""

import difflib
from collections.abc import Iterable
from pathlib import Path

from graph.ingest.batch import Reader
from graph.ingest.delimited import DelimitedReader
from graph.ingest.json_lines import JsonLinesReader
from graph.ingest.mapping import SUFFIXES, FileFormat, TableMapping
from graph.ingest.parquet import ParquetReader
from graph.ingest.sources import STANDARD_INPUT, open_file, unpacked_name
from graph.storage.errors import BadInputError


def open_reader(path: Path, table: TableMapping) -> Reader:
    """Raises NotFoundError or BadInputError naming the file, the column and what to do."""
    open_file(path).close()
    needed = [*table.required(), *table.optional()]
    reader = _reader(path, table, needed)
    if reader.columns is not None:
        refuse_missing(path, needed, reader.columns)
    return reader


def _reader(path: Path, table: TableMapping, needed: list[str]) -> Reader:
    match table.format or _format_of(path):
        case "csv":
            return DelimitedReader(path, table, tabs=False)
        case "tsv":
            return DelimitedReader(path, table, tabs=True)
        case "jsonl":
            return JsonLinesReader(path, table)
        case "parquet":
            return ParquetReader(path, needed)


def _format_of(path: Path) -> FileFormat:
    try:
        return SUFFIXES[unpacked_name(path).suffix.lower()]
    except KeyError:
        hint = "Say format = 'csv', 'tsv', 'jsonl' or 'parquet' in the mapping."
        said = "Standard input" if path == STANDARD_INPUT else f"The name of {path}"
        raise BadInputError(f"{said} does not say what format it has.", hint=hint) from None


def refuse_missing(path: Path, needed: Iterable[str], columns: list[str]) -> None:
    """Raise BadInputError for the first needed column that the file does not have."""
    for name in needed:
        if name in columns:
            continue
        close = difflib.get_close_matches(name, columns, 1)
        if close:
            hint = f"Did you mean {close[0]!r}?"
        elif len(columns) == 1:
            hint = f"It has a single column {columns[0][:80]!r}; check format and delimiter in the mapping."
        else:
            hint = f"It has {', '.join(columns[:20])}{' …' if len(columns) > 20 else ''}; correct the mapping."
        raise BadInputError(f"{path} has no column {name!r}.", hint=hint, field=name)
