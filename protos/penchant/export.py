"""All vectors of a kind into one Parquet file."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from penchant.client import EXPORT_DEADLINE_MS, Kind, PenchantClient
from penchant.errors import CorruptDataError
from penchant.frames import to_arrow
from penchant.vectors import EmbeddingChunk

ROW_GROUP_ROWS = 50_000
"""Chunks are too small to be row groups of their own: readers skip and decode by row group."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote."""

    ids: int
    vectors: int
    model_version: str
    vector_space: str
    as_of: datetime


def export_parquet(
    client: PenchantClient,
    kind: Kind,
    path: Path | str,
    *,
    half: bool = False,
    deadline_ms: float = EXPORT_DEADLINE_MS,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Writes all vectors of `kind` to `path`, with the columns of penchant.frames.

    The file appears whole or not at all, in place of an older one. A stream that is cut goes on where it was.
    half: send half-precision numbers, which halves the traffic; the file holds single precision all the same.
    progress: called after every chunk with the ids received and the ids in all.
    Raises PenchantError, and OSError where the file cannot be written.
    """
    path = Path(path)
    ids = vectors = 0
    last: EmbeddingChunk | None = None

    def tables() -> Iterator[Any]:
        nonlocal ids, vectors, last
        for chunk in client.export_embeddings(kind, half=half, deadline_ms=deadline_ms):
            yield to_arrow(chunk)
            ids += len(chunk.ids)
            vectors += len(chunk.vectors)
            last = chunk
            if progress is not None:
                progress(ids, chunk.total_ids)

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        part = Path(scratch) / path.name
        _write(tables(), part)
        if last is None:
            raise CorruptDataError("The export ended without a chunk.")
        part.replace(path)
    return Exported(ids, vectors, last.model_version, last.vector_space, last.as_of)


def _write(tables: Iterator[Any], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    waiting: list[Any] = []
    writer = None
    try:
        for table in tables:
            writer = writer or pq.ParquetWriter(path, table.schema)
            waiting.append(table)
            if sum(each.num_rows for each in waiting) >= ROW_GROUP_ROWS:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if writer is not None and waiting:
            writer.write_table(pa.concat_tables(waiting))
    finally:
        if writer is not None:
            writer.close()
