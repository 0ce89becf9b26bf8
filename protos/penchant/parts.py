"""What an export has on disk before it is done: a folder of Parquet files beside the one that it will be.

Each part ends where a chunk did and names the resume token of that place, so that rows and token are there together or
not at all, whenever the process is killed. `users.parquet` has its parts in `users.parquet.parts/`.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from penchant.arrow import pq
from penchant.errors import ConfigurationError

try:
    from fcntl import LOCK_EX, LOCK_NB, flock
except ImportError:  # Windows has none: two exports into one file at once are then the caller's to avoid
    flock = None  # type: ignore[assignment, unused-ignore]

_KEY = b"penchant.export"


@dataclass(frozen=True, slots=True)
class Reached:
    """Where an export is: what it is of, and what lies on disk."""

    kind: str
    half: bool
    origin: str = ""
    """The revision, vector space and moment, as Embeddings.origin; empty before the first chunk."""
    resume_token: str = ""
    ids: int = 0
    vectors: int = 0


class Parts:
    """The parts of the export into `path`; one process at a time has them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.with_name(f"{path.name}.parts")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out; a folder without parts goes afterwards. ConfigurationError where one is in."""
        self._folder.mkdir(exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            try:
                if flock is not None:
                    flock(lock, LOCK_EX | LOCK_NB)
            except OSError as error:
                raise ConfigurationError(
                    f"Another process exports into {self._path} at this moment.", hint="Wait for it, or stop it."
                ) from error
            try:
                yield
            finally:
                if not self._files():
                    shutil.rmtree(self._folder)

    def reached(self, kind: str, half: bool) -> Reached:
        """Where an earlier export stopped; the beginning where there was none.

        ConfigurationError where that one was of something else.
        """
        begun = Reached(kind, half)
        files = self._files()
        if not files:
            return begun
        reached = Reached(**json.loads(pq.read_schema(files[-1]).metadata[_KEY]))
        if (reached.kind, reached.half) != (kind, half):
            before = f"{reached.kind}{' in half precision' if reached.half else ''}"
            raise ConfigurationError(
                f"{self._folder} has parts of an export of {before}.",
                hint="Finish that one first, or begin anew with restart (--restart), which deletes them.",
            )
        return reached

    def add(self, table: Any, reached: Reached) -> None:
        """Writes the part that ends at `reached`; on disk when this returns."""
        number = len(self._files())
        metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(asdict(reached)).encode()}
        unfinished = self._folder / "unfinished"
        pq.write_table(table.replace_schema_metadata(metadata), unfinished)
        _sync(unfinished)
        unfinished.replace(self._folder / f"{number:06}.parquet")
        _sync(self._folder)

    def join(self) -> None:
        """All parts become the file, a row group each, in place of an older one; then they go."""
        files = self._files()
        schema = pq.read_schema(files[0])
        kept = {key: value for key, value in schema.metadata.items() if key != _KEY}
        unfinished = self._folder / "unfinished"
        with pq.ParquetWriter(unfinished, schema.with_metadata(kept)) as writer:
            for each in files:
                writer.write_table(pq.read_table(each).replace_schema_metadata(kept))
        _sync(unfinished)
        unfinished.replace(self._path)
        _sync(self._path.parent)
        self.clear()

    def clear(self) -> None:
        """Deletes the parts. The last goes first: what a cut leaves is a shorter export, and not one with a hole."""
        for each in reversed(self._files()):
            each.unlink()

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.parquet"))


def after(reached: Reached, table: Any, chunks: list[Any]) -> Reached:
    """Where an export is behind `chunks`, whose rows are `table`."""
    last = chunks[-1]
    return replace(
        reached,
        origin=last.origin,
        resume_token=last.resume_token,
        ids=reached.ids + sum(len(chunk.ids) for chunk in chunks),
        vectors=reached.vectors + table.num_rows,
    )


def _sync(path: Path) -> None:
    """A folder's names too: without that a crash of the machine may lose the newest."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
