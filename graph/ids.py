"""External ids (strings the shop owns) and indices (rows of our arrays): the one place where they meet.

store: external id <-> surrogate int64       arrays: index 0 … n-1, in the order of the surrogates
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from graph.arrays import Int32s, Int64s
from graph.storage.errors import BadInputError

UNKNOWN = -1

_FEW = 256
_FEW_OF = 16
"""Up to so many ids, or one in so many of the map, are found sooner than by Arrow, which hashes the whole map anew at
each call."""


_DENSE = 8
"""With at most so many numbers per id, a table of all numbers is several times as fast as a search."""


@dataclass(frozen=True, eq=False)
class IdMap:
    """One index space. `external` string [n], `surrogate` int64 [n] ascending; entry k of both belongs to index k."""

    external: pa.StringArray
    surrogate: Int64s

    def __post_init__(self) -> None:
        if len(self.external) != len(self.surrogate):
            raise BadInputError(f"{len(self.external)} external ids for {len(self.surrogate)} surrogates")
        if self.external.null_count or (np.diff(self.surrogate) <= 0).any():
            raise BadInputError("an id map needs external ids without gaps and strictly ascending surrogates")

    @classmethod
    def of(cls, externals: Iterable[str]) -> "IdMap":
        """A map without a store behind it: surrogates 0, 1, … in the order given."""
        external = pa.array(externals, pa.string())
        return cls(external, np.arange(len(external), dtype=np.int64))

    def __reduce__(self) -> tuple[Any, ...]:
        """Without what `prepare` makes: hashes are of one process."""
        return IdMap, (self.external, self.surrogate)

    def __len__(self) -> int:
        return len(self.surrogate)

    def from_place(self, place: int) -> "IdMap":
        """The ids from index `place` on."""
        return IdMap(self.external[place:], self.surrogate[place:])

    def up_to(self, place: int) -> "IdMap":
        """The ids before index `place`."""
        return self if place == len(self) else IdMap(self.external[:place], self.surrogate[:place])

    def and_then(self, later: "IdMap") -> "IdMap":
        """Both, whose surrogates must go on ascending."""
        if not len(later):
            return self
        external = pa.concat_arrays([self.external, later.external])
        return IdMap(external, np.concatenate([self.surrogate, later.surrogate]))

    def prepare(self, *, names: bool = True) -> None:
        """Makes what finds a few ids by name, and with `names` by index, so that nobody who asks has to wait for it."""
        if names:
            self._names  # noqa: B018  # made at the first look
        self._by_hash  # noqa: B018  # likewise

    @property
    def _is_prepared(self) -> bool:
        return "_names" in self.__dict__

    def index_of(self, externals: Sequence[str] | pa.Array | npt.NDArray[Any]) -> Int32s:
        """int32 [n], -1 where unknown. A few are found by their hashes, a million by one Arrow hash join."""
        if len(externals) <= max(_FEW, len(self) // _FEW_OF):
            values = externals.to_pylist() if isinstance(externals, pa.Array) else externals
            return self._by_hash.find(values)
        column = externals if isinstance(externals, pa.Array) else pa.array(externals, pa.string())
        found = pc.index_in(column.cast(pa.string()), value_set=self.external)
        return np.array(found.fill_null(UNKNOWN), dtype=np.int32)  # which may be written, as above: loops want one kind

    def index_of_surrogate(self, surrogates: npt.NDArray[np.integer[Any]]) -> Int32s:
        """int32 [n], -1 where unknown."""
        if not len(self):
            return np.full(len(surrogates), UNKNOWN, np.int32)
        if self._is_dense and len(surrogates) > _FEW and surrogates.min() >= -1:
            known: Int32s = self._place_of[np.minimum(surrogates, len(self._place_of) - 1)]
            return known
        place = np.minimum(np.searchsorted(self.surrogate, surrogates), len(self) - 1)
        return np.where(self.surrogate[place] == surrogates, place, UNKNOWN).astype(np.int32)

    def externals_of(self, index: npt.NDArray[np.integer[Any]]) -> list[str]:
        """The external ids of indices, all of which must be known."""
        if len(index) <= _FEW and self._is_prepared:
            return [self._names[place] for place in index.tolist()]
        names: list[str] = self.external.take(pa.array(index, pa.int64())).to_pylist()
        return names

    @property
    def _is_dense(self) -> bool:
        return bool(self.surrogate[0] >= 0 and self.surrogate[-1] < _DENSE * len(self))

    @cached_property
    def _place_of(self) -> Int32s:
        """The index of each number up to the last surrogate; then UNKNOWN, for what is larger and for -1."""
        table = np.full(int(self.surrogate[-1]) + 2, UNKNOWN, np.int32)
        table[self.surrogate] = np.arange(len(self), dtype=np.int32)
        return table

    @cached_property
    def _by_hash(self) -> "_ByHash":
        return _ByHash.of(self._names if self._is_prepared else self.external.to_pylist())

    @cached_property
    def _names(self) -> list[str]:
        names: list[str] = self.external.to_pylist()
        return names


@dataclass(frozen=True, eq=False)
class _ByHash:
    """What is where, by Python's own hash of a text: 64 bits of SipHash under a key that each process draws for itself.

    Of a million ids and a text that is none of them, the hashes are equal once in 2^44 times; who knows the key, since
    PYTHONHASHSEED sets it, may find such a text. A dict would be sure, for a hundred bytes an id instead of twelve, and
    five reads of far memory.
    """

    hashes: Int64s
    """[n], ascending, and the largest number at the end."""
    index: Int32s
    """[n + 1]: of what; UNKNOWN at the end."""
    unsure: dict[str, int]
    """Of ids that share their hash; nearly always none."""

    @classmethod
    def of(cls, names: Sequence[str]) -> "_ByHash":
        hashes = np.fromiter(map(hash, names), np.int64, len(names))
        order = np.argsort(hashes, kind="stable")
        ascending = np.append(hashes[order], np.iinfo(np.int64).max)
        shared = np.isin(hashes, ascending[1:][ascending[1:] == ascending[:-1]])
        unsure = {names[place]: place for place in np.flatnonzero(shared).tolist()}
        return cls(ascending, np.append(order, UNKNOWN).astype(np.int32), unsure)

    def find(self, values: Sequence[str] | npt.NDArray[Any]) -> Int32s:
        """int32 [n]"""
        hashes = np.fromiter(map(hash, values), np.int64, len(values))
        place = self.hashes.searchsorted(hashes)
        found = np.where(self.hashes[place] == hashes, self.index[place], np.int32(UNKNOWN))
        if self.unsure:
            sure = zip(values, found.tolist(), strict=True)
            found = np.array([self.unsure.get(value, index) for value, index in sure], np.int32)
        return found
