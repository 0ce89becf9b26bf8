"""How often each key came before, over any number of batches, in memory that does not grow with them.

What came lately stays in memory as a sorted run. A run that is full moves to a temporary file, which is deleted with
its owner. Later batches are looked up there run by run, but for those keys of which a filter says that they are new.
Runs are read and not mapped: the pages of a mapping would count as this process's memory. Nor are they merged: a
look-up reads all keys either way.
"""

import tempfile
import weakref
from dataclasses import dataclass
from typing import IO, TypeVar

import numpy as np
from numpy.typing import NDArray

RUN_KEYS = 1 << 20
"""Keys in memory before they move to disk, 12 MiB of them; each run on disk is about as long."""

FILTER_BITS = 28
"""The filter has 2^28 bits, 32 MiB: with 20 M keys on disk one new key in 14 is looked up for nothing."""

_BITS = np.left_shift(1, np.arange(8)).astype(np.uint8)
_KEY_BYTES, _COUNT_BYTES = 8, 4
Keys = NDArray[np.uint64]
Counts = NDArray[np.uint32]
Number = TypeVar("Number", np.uint64, np.uint32)


@dataclass(frozen=True)
class _Run:
    """A sorted run in the file: at `offset` its keys, behind them their counts."""

    offset: int
    length: int


class Occurrences:
    """12 bytes on disk (in `TMPDIR`) for each key and run in which it came."""

    def __init__(self) -> None:
        self._keys: Keys = np.empty(0, np.uint64)  # sorted, distinct
        self._counts: Counts = np.empty(0, np.uint32)
        self._runs: list[_Run] = []
        self._file: IO[bytes] | None = None
        self._filter = np.zeros(1 << (FILTER_BITS - 3), np.uint8)  # takes no memory before it is written to

    def number(self, keys: Keys) -> NDArray[np.int64]:
        """For each of `keys`, how many equal ones came before it, in this call or an earlier one."""
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
        counts = np.diff(starts, append=len(keys))
        numbers = np.empty(len(keys), np.int64)
        numbers[order] = np.arange(len(keys)) + np.repeat(
            self._before_and_now(keys[order[starts]], counts) - starts, counts
        )
        return numbers

    def _before_and_now(self, unique: Keys, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """How often each of `unique` came before; from now on, `counts` times more."""
        place, rows = _common(self._keys, unique)
        before = np.zeros(len(unique), np.int64)
        before[rows] = self._counts[place]
        self._add_spilled(unique, before)
        self._counts[place] += counts[rows].astype(np.uint32)
        is_new = np.ones(len(unique), bool)
        is_new[rows] = False
        where = np.searchsorted(self._keys, unique[is_new])
        self._keys = np.insert(self._keys, where, unique[is_new])
        self._counts = np.insert(self._counts, where, counts[is_new].astype(np.uint32))
        if len(self._keys) >= RUN_KEYS:
            self._spill()
        return before

    def _add_spilled(self, unique: Keys, before: NDArray[np.int64]) -> None:
        maybe = np.flatnonzero(self._filter[_byte(unique)] & _bit(unique)) if self._runs else np.empty(0, np.intp)
        for run in self._runs if len(maybe) else ():
            place, rows = _common(self._read(run.offset, run.length, np.uint64), unique[maybe])
            if len(rows):
                counts = self._read(run.offset + _KEY_BYTES * run.length, run.length, np.uint32)
                before[maybe[rows]] += counts[place]

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="penchant-", buffering=0)  # noqa: SIM115  # lives as long as this object
            weakref.finalize(self, self._file.close)
        last = self._runs[-1] if self._runs else _Run(0, 0)
        run = _Run(last.offset + (_KEY_BYTES + _COUNT_BYTES) * last.length, len(self._keys))
        _write(self._file, run.offset, self._keys.tobytes() + self._counts.tobytes())
        self._runs.append(run)
        np.bitwise_or.at(self._filter, _byte(self._keys), _bit(self._keys))
        self._keys, self._counts = np.empty(0, np.uint64), np.empty(0, np.uint32)

    def _read(self, offset: int, length: int, kind: type[Number]) -> NDArray[Number]:
        assert self._file is not None
        self._file.seek(offset)
        values: NDArray[Number] = np.fromfile(self._file, kind, length)
        if len(values) != length:
            raise OSError(f"a temporary file in {tempfile.gettempdir()} was cut short")
        return values


def _byte(keys: Keys) -> Keys:
    """The byte of the filter for each key: keys are hashes, so their upper bits are as good as any."""
    return keys >> np.uint64(64 - FILTER_BITS + 3)


def _bit(keys: Keys) -> NDArray[np.uint8]:
    bits: NDArray[np.uint8] = _BITS[(keys >> np.uint64(64 - FILTER_BITS)) & np.uint64(7)]
    return bits


def _common(run: NDArray[np.uint64], unique: Keys) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(positions in `run`, positions in `unique`) of the keys that both have; both are sorted and distinct."""
    place = np.searchsorted(run, unique)
    rows = np.flatnonzero(place < len(run))
    rows = rows[run[place[rows]] == unique[rows]]
    return place[rows], rows


def _write(file: IO[bytes], offset: int, content: bytes) -> None:
    file.seek(offset)
    rest = memoryview(content)
    while rest:  # an unbuffered file may take less than it is given
        rest = rest[file.write(rest) :]
