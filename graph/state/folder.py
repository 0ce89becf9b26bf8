"""A mirror and its edges on disk: `.npy` files that are mapped, strings as Arrow, and one manifest that names them.

    <folder>/manifest.json       format, moment, kinds, and of every file its size and sum; replaced last, in one step
    <folder>/3/….npy             the arrays of the third time that it was written

What the manifest does not name is not there. A file that is the same as last time is linked, not written again, and
its sum is the one that it was found to have when it was read.
"""

import json
import mmap
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from graph.events import Events
from graph.ids import IdMap
from graph.sparse import Csr
from graph.state.edges import Edges, Moment
from graph.state.follows import Follows
from graph.state.mirror import Mirror, Retractions
from graph.state.tail import StaleError
from graph.storage.kinds import EventKind
from graph.sync import sync
from graph.threads import in_threads

FORMAT = 1
MANIFEST = "manifest.json"
Arrays = dict[str, npt.NDArray[Any]]


class Checked(NamedTuple):
    """A file that has the sum that its manifest notes. While it is mapped, no other file takes its inode."""

    path: Path
    inode: int
    sum: int


def write_state(folder: Path, mirror: Mirror, edges: Edges) -> None:
    """Replaces what the folder holds. A crash at any moment leaves the old state or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    number = max((int(path.name) for path in folder.iterdir() if path.name.isdigit()), default=0) + 1
    place, draft = folder / str(number), folder / f"{MANIFEST}.{number}"
    place.mkdir()
    try:
        _write(place, draft, mirror, edges)
    except BaseException:  # of a full disk it would keep what is left
        shutil.rmtree(place, ignore_errors=True)
        draft.unlink(missing_ok=True)
        raise
    draft.replace(folder / MANIFEST)
    sync(folder)
    for other in folder.iterdir():
        if other.name.isdigit() and other != place:
            shutil.rmtree(other, ignore_errors=True)


def _write(place: Path, draft: Path, mirror: Mirror, edges: Edges) -> None:
    arrays = _arrays(mirror, edges)

    def write(name: str) -> tuple[str, dict[str, int]]:
        path, array = place / f"{name}.npy", arrays[name]
        file = _file_of(array)
        if file is None or not _link(file, path):
            np.save(path, np.ascontiguousarray(array), allow_pickle=False)
            file = None
        sync(path)
        return path.name, {"bytes": path.stat().st_size, "sum": _sum(path) if file is None else file.sum}

    files = dict(in_threads(write, arrays))
    sync(place)
    content = {
        "format": FORMAT,
        "folder": place.name,
        "moment": asdict(edges.moment),
        "epoch_us": edges.epoch_us,
        "max_distance": edges.max_distance,
        "keep_neighbours": edges.follows.keep_neighbours,
        "kinds": [asdict(kind) for kind in mirror.kinds],
        "files": files,
    }
    draft.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    sync(draft)


def read_state(folder: Path) -> tuple[Mirror, Edges]:
    """What was written, mapped and read-only. Raises StaleError for whatever is not exactly that."""
    try:
        content = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise StaleError(f"it has format {content['format']}, this version knows {FORMAT}")
        place = folder / str(int(content["folder"]))

        def checked(name: str) -> Checked:
            path, noted = place / name, content["files"][name]
            status = path.stat()
            if status.st_size != noted["bytes"] or _sum(path) != noted["sum"]:
                raise StaleError(f"{path.name} is not what was written")
            return Checked(path.resolve(), status.st_ino, noted["sum"])

        # Mapped in this thread alone: a header is parsed by `ast`, which Python 3.11 cannot do in two (cpython#106905).
        return _state(content, {file.path.stem: _mapped(file) for file in in_threads(checked, content["files"])})
    except FileNotFoundError as error:
        missing = "there is none yet" if not (folder / MANIFEST).exists() else f"{error.filename} is missing"
        raise StaleError(missing) from error
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise StaleError(f"it cannot be read ({error})") from error


def _mapped(file: Checked) -> npt.NDArray[Any]:
    mapped = np.load(file.path, mmap_mode="r", allow_pickle=False)
    mapped.checked = file  # the owner of the memory, where _file_of finds it again
    return np.asarray(mapped)


def _link(file: Checked, path: Path) -> bool:
    """False where it is another folder's, another file stands now where it stood, or the disk knows no hard links."""
    if file.path.parent.parent != path.parent.parent.resolve():
        return False
    try:
        os.link(file.path, path)
    except OSError:
        return False  # it is written instead, and what is wrong with the disk besides will show then
    if path.stat().st_ino == file.inode:
        return True
    path.unlink()
    return False


def _arrays(mirror: Mirror, edges: Edges) -> Arrays:
    text, offsets = _text_arrays(mirror.users.external)
    arrays: Arrays = {
        "users": mirror.users.surrogate,
        "users_text": text,
        "users_offsets": offsets,
        "users_recorded_at": mirror.users_recorded_at,
        "items": mirror.items,
        "recorded_at": mirror.recorded_at,
    }
    arrays |= {f"events_{field.name}": getattr(mirror.events, field.name) for field in fields(Events)}
    arrays |= {f"retractions_{field.name}": getattr(mirror.retractions, field.name) for field in fields(Retractions)}
    follows = edges.follows
    for name, matrix in _matrices(edges.user_item, follows.base, follows.changes, follows.strongest):
        arrays |= {f"{name}_{part}": getattr(matrix, part) for part in ("data", "indices", "indptr")}
    return arrays


def _matrices(user_item: Iterable[Any], base: Any, changes: Any, strongest: Any) -> list[tuple[str, Any]]:
    kinds = [(f"kind{index}", matrix) for index, matrix in enumerate(user_item)]
    return [*kinds, ("base", base), ("changes", changes), ("strongest", strongest)]


def _state(content: dict[str, Any], arrays: Arrays) -> tuple[Mirror, Edges]:
    kinds = tuple(EventKind(**kind) for kind in content["kinds"])
    external = pa.StringArray.from_buffers(
        len(arrays["users"]), pa.py_buffer(arrays["users_offsets"]), pa.py_buffer(arrays["users_text"])
    )
    mirror = Mirror(
        kinds,
        IdMap(external, arrays["users"]),
        arrays["users_recorded_at"],
        arrays["items"],
        Events(**{field.name: arrays[f"events_{field.name}"] for field in fields(Events)}),
        arrays["recorded_at"],
        Retractions(**{field.name: arrays[f"retractions_{field.name}"] for field in fields(Retractions)}),
    )
    n_users, n_items = len(mirror.users), len(mirror.items)

    def matrix(name: str, rows: int) -> Csr:
        parts = (arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
        made = Csr((rows, n_items), dtype=arrays[f"{name}_data"].dtype)
        made.data, made.indices, made.indptr = parts  # as they are: the constructor would look through all of them
        if len(made.indptr) != rows + 1 or made.indptr[-1] != len(made.data) or len(made.data) != len(made.indices):
            raise StaleError(f"{name} does not fit together")
        made.has_canonical_format = True
        return made

    base, changes, strongest = (matrix(name, n_items) for name in ("base", "changes", "strongest"))
    follows = Follows(base, changes, strongest, content["keep_neighbours"])
    user_item = tuple(matrix(f"kind{index}", n_users) for index in range(len(kinds)))
    moment = Moment(**content["moment"])
    return mirror, Edges(moment, content["epoch_us"], content["max_distance"], user_item, follows)


def _text_arrays(strings: pa.StringArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    if not len(strings):
        return np.zeros(0, np.uint8), np.zeros(1, np.int32)
    _, offset_buffer, byte_buffer = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[strings.offset : strings.offset + len(strings) + 1]
    text = np.frombuffer(byte_buffer, np.uint8)[offsets[0] : offsets[-1]] if byte_buffer else np.zeros(0, np.uint8)
    return text, offsets - offsets[0]


def _file_of(array: npt.NDArray[Any]) -> Checked | None:
    """The file that the whole array is mapped from, if it is."""
    owner: Any = array
    while owner is not None and not isinstance(getattr(owner, "base", None), mmap.mmap):
        owner = getattr(owner, "base", None)
    whole = owner is not None and (owner.dtype, owner.nbytes) == (array.dtype, array.nbytes)
    return getattr(owner, "checked", None) if whole and owner.ctypes.data == array.ctypes.data else None


def _sum(path: Path) -> int:
    """Of all bytes as 64-bit words, with where they stand: torn writes and flipped bits show, at the pace of memory."""
    content = np.asarray(np.memmap(path, np.uint8, mode="r")) if path.stat().st_size else np.zeros(0, np.uint8)
    words = content[: len(content) // 8 * 8].view(np.uint64)
    total = sum(content[len(words) * 8 :].tolist())
    for number, begin in enumerate(range(0, len(words), 65_536)):
        total += (number + 1) * int(np.add.reduce(words[begin : begin + 65_536]))
    return int(total % 2**63)
