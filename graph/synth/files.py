"""Writing: a catalog in one piece, events block by block, and the mapping that `penchant ingest` takes."""

import io
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from graph.arrays import Int64s
from graph.synth.dirt_kinds import FileFormat

_SURPLUS = b",surplus"


def write_whole(frame: pl.DataFrame, path: Path) -> None:
    """As CSV or Parquet, after the file's name."""
    if path.suffix == ".csv":
        frame.write_csv(path)
    else:
        pq.write_table(_arrow(frame), path)


class BlockFile:
    """A file written a block at a time; in Parquet each is a row group. What was written has left memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._text: IO[bytes] | None = None
        self._parquet: pq.ParquetWriter | None = None

    def write(self, frame: pl.DataFrame, too_long: Int64s | None = None) -> None:
        """`too_long`: places of the rows that get a value too many, in CSV alone."""
        if self.path.suffix == ".csv":
            if self._text is None:
                self._text = self.path.open("wb")
                self._text.write((",".join(frame.columns) + "\n").encode())
            self._text.write(_lengthened(_csv(frame), too_long))
            return
        table = _arrow(frame)
        if self._parquet is None:
            # Numbers that hardly repeat gain nothing from a dictionary, and building one takes most of the time.
            texts = [field.name for field in table.schema if pa.types.is_large_string(field.type)]
            self._parquet = pq.ParquetWriter(self.path, table.schema, use_dictionary=texts)
        self._parquet.write_table(table)

    def __enter__(self) -> "BlockFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for file in (self._text, self._parquet):
            if file is not None:
                file.close()


def _csv(frame: pl.DataFrame) -> bytes:
    text = io.BytesIO()
    frame.write_csv(text, include_header=False)
    return text.getvalue()


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())


def _lengthened(text: bytes, too_long: Int64s | None) -> bytes:
    """Our values hold no line breaks, so the k-th line end ends the k-th row."""
    if too_long is None or not len(too_long):
        return text
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))[too_long]
    pieces = [text[start:end] for start, end in zip([0, *ends.tolist()], [*ends.tolist(), len(text)], strict=True)]
    return _SURPLUS.join(pieces)


def mapping_toml(source: str, file_format: FileFormat) -> str:
    """The mapping of the files beside it."""
    # Text would have to be parsed, and integers are what a log of microseconds has.
    time = 'column = "occurred_at"' + (', format = "unix_micros"' if file_format == "csv" else "")
    return f"""source = "{source}"

[categories]
file = "categories.{file_format}"
id = "category"
name = "name"
parent = "parent"

[items]
file = "items.{file_format}"
id = "item"
name = "name"
attributes = ["price"]

[[items.categories]]
ids = "categories"
separator = "|"

[users]
file = "users.{file_format}"
id = "user"
attributes = ["country"]

[events]
file = "events.{file_format}"
event_id = "event_id"
user = "user"
item = "item"
kind = {{ column = "kind" }}
value = "value"
session = "session"
occurred_at = {{ {time} }}
"""
