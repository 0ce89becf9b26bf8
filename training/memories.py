"""The memories of a mixture: named sources, each of which recalls items for a user straight from what was stored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graph.histories import Histories
from graph.memories.ease_factors import EaseFactors
from graph.memories.own_frequency import own_frequency
from graph.memories.recall import recall
from graph.memories.sparse import rows_to_distributions
from training.artifact_arrays import read_array, read_json, read_starts, write_array, write_json
from training.artifact_manifest import below, broken
from training.memories_ease import Ease
from training.memories_repeats import LearnedRepeats


class Memory(Protocol):
    """`recall` gives a distribution over the catalog for every history, or an empty row: csr [B, V]."""

    type: ClassVar[str]

    @property
    def name(self) -> str: ...
    def recall(self, histories: Histories, now_us: NDArray[np.int64]) -> sparse.csr_array: ...
    def settings(self) -> dict[str, Any]: ...
    def arrays(self) -> dict[str, NDArray[Any]]: ...


@dataclass(frozen=True)
class ItemToItem:
    """What follows, or goes together with, the newest items: history weight decay^age times a matrix [V, V].

    `age` counts steps back from the newest one, so that the items of one basket weigh the same. What is recalled is
    multiplied by trend^trend_power, `trend` float32 [V]: how many of an item's holders came in the last `trend_days`.
    """

    type: ClassVar[str] = "item_to_item"
    name: str
    decay: float
    recipe: str
    """How `neighbours` are counted: a key of `memories_fit.RECIPES`."""
    neighbours: sparse.csr_array
    trend: NDArray[np.float32]
    trend_days: float = 28.0
    trend_power: float = 0.0
    loudness: float = 0.0
    """How much of what kinds of events say is heard (`Histories.heard`)."""

    def recall(self, histories: Histories, now_us: NDArray[np.int64]) -> sparse.csr_array:
        heard = histories.heard(self.loudness)
        recalled = recall(self.neighbours, heard, decay=self.decay, now_us=now_us)
        if not self.trend_power:
            return recalled
        recalled.data = recalled.data * self.trend[recalled.indices] ** np.float32(self.trend_power)
        return rows_to_distributions(recalled)

    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("decay", "recipe", "trend_days", "trend_power", "loudness")}

    def arrays(self) -> dict[str, NDArray[Any]]:
        m = self.neighbours
        # scipy copies a matrix whose index types differ; equal ones stay mapped
        index = np.int32 if m.nnz < 2**31 else np.int64
        return {
            "indptr": m.indptr.astype(index),
            "indices": m.indices.astype(index),
            "data": m.data.astype(np.float32),
            "trend": self.trend,
        }


@dataclass(frozen=True)
class Repeats:
    """What this user had before: own events, each counting half after `half_life_days` (None: never fades)."""

    type: ClassVar[str] = "repeats"
    name: str
    half_life_days: float | None
    loudness: float = 0.0

    def recall(self, histories: Histories, now_us: NDArray[np.int64]) -> sparse.csr_array:
        return own_frequency(histories.heard(self.loudness), now_us, half_life_days=self.half_life_days)

    def settings(self) -> dict[str, Any]:
        return {"half_life_days": self.half_life_days, "loudness": self.loudness}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {}


_RATES = ("log_rate", "log_rate_now")


def write_memories(folder: Path, memories: tuple[Memory, ...]) -> None:
    write_json(folder / "memories.json", [{"type": m.type, "name": m.name, **m.settings()} for m in memories])
    for memory in memories:
        for part, array in memory.arrays().items():
            write_array(folder / "memories" / f"{memory.name}.{part}.npy", array)


def read_memories(folder: Path, n_items: int) -> tuple[Memory, ...]:
    path = folder / "memories.json"
    entries = read_json(path)
    try:
        return tuple(_read_memory(folder, dict(entry), n_items) for entry in entries)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(path, f"is not a list of memories ({error})") from error


def _read_memory(folder: Path, entry: dict[str, Any], n_items: int) -> Memory:
    kind, name = entry.pop("type"), below(entry["name"])
    if kind == Repeats.type:
        return Repeats(**entry)
    stem = folder / "memories" / name
    if kind == LearnedRepeats.type:
        return LearnedRepeats.of(entry, *(_read(stem, part, n_items) for part in _RATES))
    if kind == Ease.type:
        return Ease(**entry, factors=_read_factors(stem, n_items), trend=_read(stem, "trend", n_items))
    if kind == ItemToItem.type:
        return ItemToItem(**entry, neighbours=_read_matrix(stem, n_items), trend=_read(stem, "trend", n_items))
    raise broken(folder / "memories.json", f"names a memory of the unknown type {kind!r}")


def _read(stem: Path, part: str, *shape: int | None) -> NDArray[Any]:
    return read_array(_file(stem, part), shape=shape)


def _file(stem: Path, part: str) -> Path:
    return stem.with_name(f"{stem.name}.{part}.npy")


def _read_factors(stem: Path, n: int) -> EaseFactors:
    items = _read(stem, "items", None)
    if len(items) and (items[0] < 0 or items[-1] >= n or (np.diff(items) <= 0).any()):
        raise broken(_file(stem, "items"), "points outside the catalog")
    return EaseFactors(items, _read(stem, "factors", len(items), None), _read(stem, "scale", len(items)))


def _read_matrix(stem: Path, n: int) -> sparse.csr_array:
    """A square csr from three mapped files, none of them copied."""
    indptr = read_starts(_file(stem, "indptr"), n)
    size = int(indptr[-1])
    indices, data = read_array(_file(stem, "indices"), shape=(size,), kinds="i"), _read(stem, "data", size)
    if size and (indices.min() < 0 or indices.max() >= n):
        raise broken(_file(stem, "indices"), "points outside the catalog")
    return sparse.csr_array((data, indices, indptr), shape=(n, n), copy=False)
