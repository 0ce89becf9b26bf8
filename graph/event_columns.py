"""Events as the store has them -> the columns of an event log, a batch at a time and as narrow as they can be."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy import Select, select

from graph.arrays import Int64s
from graph.hashing import hash_strings
from graph.storage.database import Database
from graph.storage.scan import scan
from graph.storage.tables import interaction

EventColumns: TypeAlias = dict[str, npt.NDArray[Any]]
"""Named like the fields of `Events`, but user, item and kind are the store's numbers; and `recorded_at`."""

DTYPES = {
    "user": np.int32,  # int64 where the store's numbers have outgrown it
    "item": np.int32,
    "kind": np.int16,
    "value": np.float32,
    "occurred_at": np.int64,
    "sequence": np.int64,
    "session": np.int64,
    "id": np.int64,
    "recorded_at": np.int64,
}
_LARGEST = float(np.finfo(np.float32).max)  # a value beyond it would become infinite


def event_columns() -> Select[Any]:
    """What `read_columns` reads; the caller says of which rows."""
    event = interaction.c
    return select(
        event.id,
        event.user_id,
        event.item_id,
        event.kind_id,
        event.value,
        event.session_key,
        event.sequence,
        event.occurred_at,
        event.recorded_at,
    )


def read_columns(database: Database, statement: Select[Any], *, above: int | None = None) -> EventColumns:
    """The rows of `statement` in the order of their numbers, or nearly, those `above` one. Raises as `scan` does."""
    return _joined(scan(database, statement, interaction.c.id, _columns, above=above))


def read_few_columns(database: Database, statement: Select[Any]) -> EventColumns:
    """The same for a statement that finds a few rows by an index, however large the table."""
    return _joined([_columns(batch) for batch in database.read(statement).to_batches()])


def _joined(parts: list[EventColumns]) -> EventColumns:
    """Empties the parts as it goes."""
    empty: EventColumns = {name: np.zeros(0, dtype) for name, dtype in DTYPES.items()}
    return {name: np.concatenate([part.pop(name) for part in parts]) if parts else empty[name] for name in DTYPES}


def _columns(batch: pa.RecordBatch) -> EventColumns:
    return {
        "user": _narrow(_numbers(batch["user_id"])),
        "item": _narrow(_numbers(batch["item_id"])),
        "kind": _numbers(batch["kind_id"]).astype(np.int16),
        "value": np.clip(np.asarray(batch["value"].fill_null(np.nan)), -_LARGEST, _LARGEST).astype(np.float32),
        "occurred_at": _numbers(batch["occurred_at"]).copy(),  # a view would keep the whole batch
        "sequence": _numbers(batch["sequence"].fill_null(-1)).copy(),
        "session": _sessions(batch["session_key"]),
        "id": _numbers(batch["id"]).copy(),
        "recorded_at": _numbers(batch["recorded_at"]).copy(),
    }


def _narrow(numbers: Int64s) -> npt.NDArray[np.integer[Any]]:
    return numbers.astype(np.int32) if numbers.max(initial=0) <= np.iinfo(np.int32).max else numbers.copy()


def _sessions(keys: pa.Array) -> Int64s:
    """int64 [n] >= 0, -1 where there is no key: keys are compared, never shown, so 63 bits of a hash do."""
    coded = keys.dictionary_encode()
    hashes = (hash_strings(coded.dictionary) >> np.uint64(1)).astype(np.int64)
    code = np.asarray(coded.indices.fill_null(len(hashes)))
    sessions: Int64s = np.append(hashes, np.int64(-1))[code]
    return sessions


def _numbers(column: pa.Array) -> Int64s:
    return np.asarray(column, dtype=np.int64)
