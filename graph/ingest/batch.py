"""What every reader hands on: rows as columns, each with its line number, and the lines that are no rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import polars as pl

from graph.ingest.rejects import Reject

LINE = "#line"
"""The column with a row's line (or Parquet row) number; `#` keeps it apart from the source's own names.

Where a table has several files, the number of the file stands in the bits above: `file << FILE_SHIFT | line`.
"""
FILE_SHIFT = 40


@dataclass(frozen=True)
class Batch:
    """`done` of the reader's `total` are read with this batch (bytes of a text file, rows of a Parquet file)."""

    rows: pl.DataFrame
    done: int
    rejects: list[Reject] = field(default_factory=list)


class Reader(Protocol):
    """One open source file. `columns` is None where a file does not say up front what it has (JSON Lines)."""

    path: Path
    total: int

    @property
    def columns(self) -> list[str] | None: ...

    def batches(self) -> Iterator[Batch]: ...
