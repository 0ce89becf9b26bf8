"""Parquet: only the columns that the mapping names, a bounded number of rows at a time, rows numbered from 1."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from graph.ingest.batch import LINE, Batch
from graph.ingest.sources import STANDARD_INPUT, open_file, packed_with
from graph.storage.errors import BadInputError

BATCH_ROWS = 250_000
BUFFER_BYTES = 1 << 20


class ParquetReader:
    def __init__(self, path: Path, needed: Sequence[str]) -> None:
        self.path = path
        self.needed = list(dict.fromkeys(needed))
        if path == STANDARD_INPUT:
            hint = "Write it to a file: what it holds stands at its end."
            raise BadInputError("Parquet cannot be read from standard input.", hint=hint)
        packing = packed_with(path)
        if packing:
            hint = "Unpack it first; Parquet packs its columns itself."
            raise BadInputError(f"{path} is packed with {packing}, and Parquet cannot be read like that.", hint=hint)
        with open_file(path) as file:
            if file.read(4) != b"PAR1":
                hint = "Say what it is with format = 'csv', 'tsv' or 'jsonl' in the mapping."
                raise BadInputError(f"{path} is not a Parquet file.", hint=hint)
        with self._open() as file:
            self.total: int = file.metadata.num_rows
            self.columns: list[str] = file.schema_arrow.names

    def _open(self) -> pq.ParquetFile:
        try:
            # Buffered, a row group is decoded as it is read: there are files with one group for all of their rows.
            # What is read ahead (pre_buffer) is kept until the end, which would be the whole file.
            return pq.ParquetFile(self.path, buffer_size=BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> BadInputError:
        detail = " ".join(str(error).split())[:120]
        return BadInputError(f"{self.path} is a truncated or damaged Parquet file ({detail}).", hint="Fetch it again.")

    def batches(self) -> Iterator[Batch]:
        done = 0
        with self._open() as file:
            batches = file.iter_batches(BATCH_ROWS, columns=self.needed, use_threads=False)
            while True:
                try:
                    batch = next(batches, None)
                except (pa.ArrowException, OSError) as error:
                    raise self._broken(error) from error
                if batch is None:
                    return
                rows = pl.DataFrame(pl.from_arrow(batch))
                yield Batch(rows.with_columns((pl.int_range(pl.len()) + done + 1).alias(LINE)), done + rows.height)
                done += rows.height
