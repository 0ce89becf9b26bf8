"""Where a table's bytes come from: files and globs of files, standard input, unpacked from gzip or zstd on the way.

What a file is packed with is told by its first bytes, whatever it is called.
"""

import glob
import io
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import pyarrow as pa

from graph.storage.errors import BadInputError, NotFoundError

STANDARD_INPUT = Path("-")
HEAD_BYTES = 24 << 20
"""So much of standard input is kept to be read again, more than a block: its header is looked at before its rows."""

_PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PACKED_SUFFIXES = (".gz", ".gzip", ".zst", ".zstd")
_CANNOT = "Fetch it again and load the whole of it: what is stored already is not stored twice."


def expanded(path: Path) -> list[Path]:
    """The files that a path or a glob such as `events-*.csv.gz` names, by name. Raises NotFoundError if none."""
    if path == STANDARD_INPUT or path.exists() or not glob.has_magic(str(path)):
        return [path]
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
    if not found:
        raise NotFoundError(f"No file matches {path}.", hint="Put the pattern into quotes, or correct the mapping.")
    return found


def shown(paths: Sequence[Path]) -> str:
    """How a table's files are called in the summary."""
    if len(paths) > 1:
        return f"{len(paths)} files"
    return "standard input" if paths[0] == STANDARD_INPUT else paths[0].name


def unpacked_name(path: Path) -> Path:
    """`events.csv` of `events.csv.gz`: the name that says what format is inside."""
    return path.with_suffix("") if path.suffix.lower() in _PACKED_SUFFIXES else path


def open_file(path: Path) -> IO[bytes]:
    """Bytes as they are. Raises NotFoundError or BadInputError in one sentence instead of the operating system's."""
    if path == STANDARD_INPUT:
        return io.BufferedReader(_standard_input().again(), 1 << 20)
    try:
        return path.open("rb")
    except FileNotFoundError:
        hint = "Name it in the mapping (relative to the mapping file or to --base) or on the command line."
        raise NotFoundError(f"There is no file {path}.", hint=hint) from None
    except IsADirectoryError:
        raise BadInputError(f"{path} is a folder.", hint="Name a file, or a pattern such as 'folder/*.csv'.") from None
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}.") from error


def packed_with(path: Path) -> str | None:
    """gzip, zstd or None."""
    with open_file(path) as file:
        return _packing(file.read(4))


def size(path: Path) -> int:
    """Bytes of the file as it is; 0 where nobody knows, of standard input."""
    return 0 if path == STANDARD_INPUT else path.stat().st_size


class Unpacked:
    """The content of a file, unpacked. A context manager; `consumed` counts bytes of the file as it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = open_file(path)
        self._packing = _packing(self._raw.peek(4)[:4] if isinstance(self._raw, io.BufferedReader) else b"")
        stream = pa.PythonFile(self._raw, mode="r") if self._packing else self._raw
        self._stream = pa.CompressedInputStream(stream, self._packing) if self._packing else stream

    def __enter__(self) -> "Unpacked":
        return self

    def __exit__(self, *_: object) -> None:
        if self._packing:
            with suppress(OSError):  # a damaged stream complains once more on being closed
                self._stream.close()
        self._raw.close()

    @property
    def consumed(self) -> int:
        return self._raw.tell()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, fewer at the end only. Raises BadInputError for a file that is cut off or damaged."""
        try:
            content: bytes = self._stream.read(size)
        except OSError as error:
            what = f"a damaged {self._packing} file" if self._packing else "not readable to its end"
            if "Truncated" in str(error):
                what = f"a {self._packing} file that is cut off"
            raise BadInputError(f"{self.path} is {what} ({error}).", hint=_CANNOT) from error
        return content


def _packing(head: bytes) -> str | None:
    return next((name for mark, name in _PACKED.items() if head.startswith(mark)), None)


class _StandardInput:
    """Standard input, whose beginning can be read again as long as no more of it was read."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.head: bytes | None = None
        self.is_past_head = False

    def again(self) -> "_Replay":
        if self.is_past_head:
            raise BadInputError("Standard input can be read only once.", hint="Name a file for the other table.")
        return _Replay(self)

    def read(self, position: int, size: int) -> bytes:
        if self.head is None and not self.is_past_head:
            self.head = self.stream.read(HEAD_BYTES)
        if self.head is not None and (position < len(self.head) or len(self.head) < HEAD_BYTES):
            return self.head[position : position + size]  # a short head is all there is
        self.is_past_head, self.head = True, None
        return self.stream.read(size)


class _Replay(io.RawIOBase):
    def __init__(self, source: _StandardInput) -> None:
        super().__init__()
        self._source = source
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]  # typeshed's Buffer is not in Python 3.11
        content = self._source.read(self._position, len(buffer))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def tell(self) -> int:
        return self._position


_opened: list[_StandardInput] = []


def _standard_input() -> _StandardInput:
    """The process has one, and what was read of it belongs to it."""
    stream = sys.stdin.buffer
    if not _opened or _opened[0].stream is not stream:
        _opened[:] = [_StandardInput(stream)]
    return _opened[0]
