"""Arrays and tables of an artifact on disk: `.npy` and Arrow files that every process maps into the same memory."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.artifact_manifest import broken


def write_array(path: Path, array: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ascontiguousarray(array), allow_pickle=False)


def read_array(path: Path, *, shape: tuple[int | None, ...] | None = None) -> NDArray[Any]:
    """Maps the file. `shape`: what is expected, None where any length will do. Non-finite floats are refused."""
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise broken(path, f"cannot be read as an array ({error})") from error
    if shape is not None and (
        len(shape) != array.ndim
        or any(want is not None and want != have for want, have in zip(shape, array.shape, strict=True))
    ):
        raise broken(path, f"has shape {list(array.shape)}, expected {['any' if n is None else n for n in shape]}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise broken(path, "contains numbers that are not finite")
    return array


def write_table(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read_table(path: Path, columns: tuple[str, ...], rows: int) -> pa.Table:
    try:
        table = pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()
    except (pa.ArrowException, OSError) as error:
        raise broken(path, f"cannot be read as an Arrow file ({error})") from error
    if tuple(table.column_names) != columns:
        raise broken(path, f"has columns {table.column_names}, expected {list(columns)}")
    if table.num_rows != rows:
        raise broken(path, f"has {table.num_rows} rows, the manifest says {rows}")
    return table


def write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise broken(path, f"cannot be read as JSON ({error})") from error
