"""What workers and the owner of the device say to each other: lengths, then the arrays as they lie in memory.

Both are processes of one server on one machine, so there is neither a version nor a byte order to agree on.
"""

import os
import socket
import struct
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Float32s
from graph.histories import Histories

_QUESTION = struct.Struct("=qqqq")
"""Bytes of the folder's name, users, events, items of the revision."""
_ANSWER = struct.Struct("=qqq")
"""Users, interests, dimensions; no dimensions: no answer."""
_COLUMNS = (("item", np.int32), ("kind", np.int16), ("occurred_at", np.int64), ("step", np.int32))
"""What a net reads of an event."""
_MOST_BYTES = 1 << 30


class Question(NamedTuple):
    """Who asks wants users' vectors by the `revision` in a folder."""

    revision: Path
    histories: Histories


def opened(connection: socket.socket) -> BinaryIO:
    """To write to and read from, as long as the connection's timeout allows."""
    return cast(BinaryIO, connection.makefile("rwb"))


def write_question(to: BinaryIO, question: Question) -> None:
    name, histories = bytes(question.revision), question.histories
    to.write(_QUESTION.pack(len(name), len(histories), len(histories.item), histories.n_items))
    to.write(name)
    to.write(np.ascontiguousarray(histories.offsets, np.int64).data)
    for column, dtype in _COLUMNS:
        to.write(np.ascontiguousarray(getattr(histories, column), dtype).data)
    to.flush()


def read_question(source: BinaryIO) -> Question:
    """Raises EOFError where the other end hangs up, ValueError where it is none of ours."""
    name_bytes, users, events, items = _QUESTION.unpack(_read(source, _QUESTION.size))
    name = _read(source, name_bytes)
    offsets = _array(source, np.int64, users + 1)
    columns: dict[str, Any] = {column: _array(source, dtype, events) for column, dtype in _COLUMNS}
    value = np.full(events, np.nan, np.float32)
    return Question(Path(os.fsdecode(name)), Histories(offsets=offsets, value=value, n_items=items, **columns))


def write_answer(to: BinaryIO, users: Float32s | None) -> None:
    """users: [B, K, dim]; None: not by me, not now."""
    to.write(_ANSWER.pack(*((0, 0, 0) if users is None else users.shape)))
    if users is not None:
        to.write(np.ascontiguousarray(users, np.float32).data)
    to.flush()


def read_answer(source: BinaryIO) -> Float32s | None:
    """Raises as read_question does."""
    users, interests, dim = _ANSWER.unpack(_read(source, _ANSWER.size))
    if not dim:
        return None
    return _array(source, np.float32, users * interests * dim).reshape(users, interests, dim)


def _array(source: BinaryIO, dtype: Any, length: int) -> NDArray[Any]:
    read = np.frombuffer(_read(source, length * np.dtype(dtype).itemsize), dtype)
    return read.copy()  # one that may be written, as are those that are computed here: loops are compiled for these


def _read(source: BinaryIO, size: int) -> bytes:
    if not 0 <= size <= _MOST_BYTES:
        raise ValueError(f"a message of {size} bytes")
    read = source.read(size)
    if len(read) < size:
        raise EOFError("the other end hung up")
    return read
