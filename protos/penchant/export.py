"""All vectors of a kind into one Parquet file, in as many goes as it takes."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from penchant.arrow import pa, pq
from penchant.client import EXPORT_DEADLINE_MS, Kind, PenchantClient
from penchant.errors import CorruptDataError, ModelVersionGoneError
from penchant.frames import to_arrow
from penchant.parts import Parts, Reached, after
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
    restart: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Writes all vectors of `kind` to `path`, with the columns of penchant.columns.

    The file appears whole or not at all, in place of an older one. A stream that is cut goes on where it was. Whatever
    else ends the export, be it the process's end, leaves what was written in the folder `<path>.parts`; the next export
    to this path goes on from there, as of the same moment, so that nothing is doubled or lost.

    half: send half-precision numbers, which halves the traffic; the file holds single precision all the same.
    restart: begin anew, whatever an earlier export left.
    progress: called after every chunk with the ids received and the ids in all.

    Raises PenchantError, and OSError where the file cannot be written. ModelVersionGoneError where an export cannot go
    on because the server no longer has the revision that it is of: then `restart`.
    """
    parts = Parts(Path(path))
    with parts.locked():
        if restart:
            parts.clear()
        reached = parts.reached(kind, half)
        chunks = client.export_embeddings(kind, half=half, resume_token=reached.resume_token, deadline_ms=deadline_ms)
        waiting: list[EmbeddingChunk] = []
        ids = reached.ids
        try:
            for chunk in chunks:
                if reached.origin and chunk.origin != reached.origin:
                    raise _gone(reached)
                waiting.append(chunk)
                if sum(len(each.vectors) for each in waiting) >= ROW_GROUP_ROWS:
                    reached = _write(parts, reached, waiting)
                ids += len(chunk.ids)
                if progress is not None:
                    progress(ids, chunk.total_ids)
        except ModelVersionGoneError as error:
            raise _gone(_write(parts, reached, waiting)) from error
        finally:
            reached = _write(parts, reached, waiting)
        if not reached.origin:
            raise CorruptDataError("The export ended without a chunk.", hint="Begin it anew.")
        parts.join()
    return _summary(Path(path), reached)


def _write(parts: Parts, reached: Reached, waiting: list[EmbeddingChunk]) -> Reached:
    """Nothing is written where nothing waits."""
    if not waiting:
        return reached
    table = pa.concat_tables([to_arrow(each) for each in waiting])
    reached = after(reached, table, waiting)
    parts.add(table, reached)
    waiting.clear()
    return reached


def _gone(reached: Reached) -> ModelVersionGoneError:
    return ModelVersionGoneError(
        f"The export of {reached.origin} cannot go on: the server no longer has that revision.",
        hint=f"Begin anew with restart (--restart), which drops the {reached.ids:,} {reached.kind} written so far.",
        reason="MODEL_VERSION_GONE",
    )


def _summary(path: Path, reached: Reached) -> Exported:
    metadata = pq.read_schema(path).metadata
    return Exported(
        reached.ids,
        reached.vectors,
        metadata[b"penchant.model_version"].decode(),
        metadata[b"penchant.vector_space"].decode(),
        datetime.fromisoformat(metadata[b"penchant.as_of"].decode()),
    )
