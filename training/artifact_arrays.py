"""Arrays and tables of an artifact on disk: `.npy` and Arrow files that every process maps into the same memory.

What a file says of itself is checked against its size before anything is mapped: checksums tell of damage, and whoever
writes a folder by hand writes those too.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.artifact_manifest import broken


def write_array(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def read_array(path: Path, *, shape: tuple[int | None, ...] | None = None, kinds: str = "biuf") -> NDArray[Any]:
    """Maps the file. `shape`: what is expected, None where any length will do; `kinds` as numpy's `dtype.kind`.

    Non-finite floats are refused, and a file whose size is not that of the array it claims to hold.
    """
    try:
        _check_claims(path)
        # A plain array over the mapped file: each slice of numpy's own kind of it would pay for its Python code.
        array: NDArray[Any] = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except Exception as error:  # a header is read as Python text, with all the errors that Python has for text
        raise broken(path, f"cannot be read as an array ({' '.join(str(error).split())[:120]})") from error
    if array.dtype.kind not in kinds:
        raise broken(path, f"holds {array.dtype}, which is not what belongs there")
    if shape is not None and (
        len(shape) != array.ndim
        or any(want is not None and want != have for want, have in zip(shape, array.shape, strict=True))
    ):
        raise broken(path, f"has shape {list(array.shape)}, expected {['any' if n is None else n for n in shape]}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise broken(path, "contains numbers that are not finite")
    return array


def read_starts(path: Path, rows: int) -> NDArray[Any]:
    """Where each of `rows` begins in another array, and where the last one ends; nobody checks it once more."""
    starts = read_array(path, shape=(rows + 1,), kinds="i")
    if starts[0] != 0 or (np.diff(starts) < 0).any():
        raise broken(path, "does not begin with 0, or falls")
    return starts


def _check_claims(path: Path) -> None:
    """Raises ValueError, or whatever numpy does. In whole numbers of any size: numpy's own product of a shape wraps."""
    with path.open("rb") as file:
        major, _ = np.lib.format.read_magic(file)
        read_header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}[major]
        shape, _, dtype = read_header(file)
        claimed = file.tell() + math.prod(shape) * dtype.itemsize
    size = path.stat().st_size
    if claimed != size:
        raise ValueError(f"it has {size:,} bytes, and its header speaks of {claimed:,}")


def write_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_table(path: Path, columns: pa.Schema, rows: int) -> pa.Table:
    """Maps the file, whose every length and offset is checked: Arrow would follow a wrong one out of the file."""
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
        table.validate(full=True)
        names = table.column_names
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise broken(path, f"cannot be read as an Arrow file ({' '.join(str(error).split())[:120]})") from error
    if names != columns.names:
        raise broken(path, f"has columns {names}, expected {columns.names}")
    if table.schema.types != columns.types:
        raise broken(path, f"has columns of types {table.schema.types}, expected {columns.types}")
    if table.num_rows != rows:
        raise broken(path, f"has {table.num_rows} rows, the manifest says {rows}")
    return table


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except (ValueError, OSError, RecursionError) as error:
        raise broken(path, f"cannot be read as JSON ({error})") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
