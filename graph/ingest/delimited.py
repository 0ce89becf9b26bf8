"""CSV and TSV: every value as text, the line of every row known, bad lines set aside one by one.

Arrow's parser takes a block at once. Where it cannot say which line a row came from (line breaks inside quotes) or
stumbles (broken bytes), Python's csv module goes through that one block record by record.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv

from graph.ingest.batch import LINE, Batch
from graph.ingest.dialect import Dialect
from graph.ingest.mapping import TableMapping
from graph.ingest.rejects import Reject
from graph.ingest.sources import size
from graph.ingest.streams import Block, blocks
from graph.storage.errors import BadInputError

_REPLACED = "\N{REPLACEMENT CHARACTER}"


class DelimitedReader:
    """`columns` come from the first record, or from the mapping when the file has no header."""

    def __init__(self, path: Path, table: TableMapping, *, tabs: bool) -> None:
        self.path = path
        self.dialect = Dialect.of(table, tabs=tabs)
        self.encoding = table.encoding
        self._has_header = table.header
        self.columns: list[str] = self._header() if table.columns is None else table.columns
        twice = {name for name in self.columns if self.columns.count(name) > 1}
        if twice:
            raise BadInputError(f"{path} has the column {min(twice)!r} more than once.", hint="Rename one of them.")
        self.total = size(path)

    def batches(self) -> Iterator[Batch]:
        skip_header = self._has_header
        for block in self._blocks():
            if skip_header:
                _, _, lines = next(self._records(block))
                text = block.text.split(b"\n", lines)
                block = Block(text[lines] if len(text) > lines else b"", block.first_line + lines, block.consumed)
                skip_header = False
            yield self._at_once(block) or self._record_by_record(block)

    def _blocks(self) -> Iterator[Block]:
        return blocks(self.path, self.encoding, quote=b'"' if self.dialect.quoted else None)

    def _header(self) -> list[str]:
        for block in self._blocks():
            values, _, _ = next(self._records(block))
            if isinstance(values, list):
                return [value.strip() for value in values]
            raise BadInputError(f"The first line of {self.path} is no header: {values}.")
        raise BadInputError(f"{self.path} is empty.", hint="A file with no rows still needs its header line.")

    def _at_once(self, block: Block) -> Batch | None:
        """The whole block through Arrow, or None when line numbers or bytes need a closer look."""
        ragged: list[Reject] = []

        def set_aside(row: pa_csv.InvalidRow) -> str:
            reason = f"{row.actual_columns} columns instead of {row.expected_columns}"
            ragged.append(Reject(block.first_line + row.number - 1, reason, row.text, self.columns, self.dialect))
            return "skip"

        # Arrow would tell us of broken bytes too, but not when they stand in a ragged row.
        if not block.text or not _is_whole(block.text, replaced_is_broken=self.encoding != "utf-8"):
            return None
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(block.text),
                pa_csv.ReadOptions(column_names=self.columns, use_threads=False, block_size=len(block.text)),
                pa_csv.ParseOptions(
                    delimiter=self.dialect.delimiter,
                    quote_char='"' if self.dialect.quoted else False,
                    newlines_in_values=self.dialect.quoted,
                    ignore_empty_lines=False,
                    invalid_row_handler=set_aside,
                ),
                pa_csv.ConvertOptions(
                    column_types=dict.fromkeys(self.columns, pa.string()), strings_can_be_null=True, null_values=[""]
                ),
            )
        except pa.ArrowInvalid:
            return None
        lines = block.text.count(b"\n") + (not block.text.endswith(b"\n"))
        if table.num_rows + len(ragged) != lines:
            return None
        numbers = np.arange(block.first_line, block.first_line + lines)
        numbers = np.delete(numbers, [reject.line - block.first_line for reject in ragged])
        return self._batch(pl.DataFrame(pl.from_arrow(table)), numbers, ragged, block)

    def _record_by_record(self, block: Block) -> Batch:
        rows: list[list[str]] = []
        numbers: list[int] = []
        rejects: list[Reject] = []
        line = block.first_line
        for values, text, lines in self._records(block):
            if isinstance(values, str):
                rejects.append(Reject(line, values, text, self.columns, self.dialect))
            elif len(values) == len(self.columns):
                rows.append(values)
                numbers.append(line)
            elif text.strip():
                reason = f"{len(values)} columns instead of {len(self.columns)}"
                rejects.append(Reject(line, reason, text, self.columns, self.dialect))
            line += lines
        frame = pl.DataFrame(rows, schema=dict.fromkeys(self.columns, pl.String()), orient="row")
        frame = frame.with_columns(pl.all().replace("", None)) if rows else frame
        return self._batch(frame, np.array(numbers, dtype=np.int64), rejects, block)

    def _records(self, block: Block) -> Iterator[tuple[list[str] | str, str, int]]:
        """(values, or why there are none; the text; how many lines it takes) of every record in the block."""
        lines = block.text.removesuffix(b"\n").split(b"\n")
        start = 0
        while start < len(lines):
            ahead = (lines[place].decode("utf-8", "replace") + "\n" for place in range(start, len(lines)))
            values, count = self.dialect.record(ahead)
            raw = b"\n".join(lines[start : start + count]).removesuffix(b"\r")
            if isinstance(values, list) and not _is_whole(raw, replaced_is_broken=self.encoding != "utf-8"):
                values = f"broken encoding: not valid {self.encoding}"
            yield values, raw.decode("utf-8", "backslashreplace"), count
            start += count

    def _batch(self, frame: pl.DataFrame, numbers: np.ndarray, rejects: list[Reject], block: Block) -> Batch:
        rows = frame.with_columns(pl.Series(LINE, numbers, dtype=pl.Int64))
        # Blank lines, and rows of nothing but delimiters as spreadsheets leave them at the end, say nothing.
        rows = rows.filter(pl.any_horizontal(pl.col(self.columns).is_not_null()))
        return Batch(rows, block.consumed, rejects)


def _is_whole(raw: bytes, *, replaced_is_broken: bool) -> bool:
    """False for invalid UTF-8, and for what a decoder of another encoding had to replace."""
    try:
        text = raw.decode("utf-8")
        return not (replaced_is_broken and _REPLACED in text)
    except UnicodeDecodeError:
        return False
