"""Events from messages to columns: read column by column, since a batch in which all is well is the usual one.

Rows that may break a rule of the contract are found on whole columns, and only those are then looked at one by one,
which says what is wrong with them.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl
import pyarrow as pa
from penchant.v1 import event_pb2 as pb

from graph.storage.columns import EVENTS
from graph.storage.errors import BadInputError
from graph.storage.times import SECOND_US
from server import limits
from server.convert import json_text, microseconds

# A retraction may leave out its item; where nothing may be null, the store refuses the row.
_SCHEMA = pa.schema([field.with_nullable(True) for field in EVENTS if field.name != "recorded_at"])
_FIRST_S, _LAST_S = 0, 253_402_300_799


class Batch(NamedTuple):
    """The rows that are events, as columns.EVENTS, and those that are none: their place among all, and why."""

    table: pa.Table
    refused: dict[int, BadInputError]


def read_events(events: Sequence[pb.Event]) -> Batch:
    """Never raises for a row; `refused` has it."""
    rows = list(events)  # each message is wrapped once, not once a column
    times = [row.occurred_at for row in rows]
    frame = pl.DataFrame(
        {
            "event_id": [row.event_id for row in rows],
            "user": [row.user for row in rows],
            "item": [row.item for row in rows],
            "kind": [row.kind for row in rows],
            "value": [row.value if row.HasField("value") else None for row in rows],
            "session_key": [row.session_key for row in rows],
            "sequence": [row.sequence if row.HasField("sequence") else None for row in rows],
            "context": [None] * len(rows),
            "retracts": [row.retracts for row in rows],
            "seconds": [time.seconds for time in times],
            "nanos": [time.nanos for time in times],
            "has_time": [row.HasField("occurred_at") for row in rows],
            "has_context": [row.HasField("context") for row in rows],
        },
        schema_overrides=_TYPES,
    )
    suspects = frame.select(_SUSPECT).to_series().arg_true().to_list()
    context: dict[int, str | None] = {}
    refused: dict[int, BadInputError] = {}
    for row in suspects:
        try:
            context[row] = check_event(rows[row])
        except BadInputError as error:
            refused[row] = error
    if context:
        frame = frame.with_columns(pl.Series("context", [context.get(row) for row in range(len(rows))], pl.String))
    if refused:
        keep = pl.Series([row not in refused for row in range(len(rows))])
        frame = frame.filter(keep)
    return Batch(frame.select(_CANONICAL).to_arrow().cast(_SCHEMA), refused)


def check_event(event: pb.Event) -> str | None:
    """Raises BadInputError for the first field that no event may have; returns the context as JSON."""
    limits.check_id(event.event_id, "event_id")
    limits.check_id(event.user, "user")
    if event.item or not event.retracts:
        limits.check_id(event.item, "item")
    if not event.kind:
        raise BadInputError("kind is missing.", field="kind", reason="UNKNOWN_KIND")
    limits.check_id(event.kind, "kind")
    limits.check_text(event.session_key, "session_key", limits.MAX_ID_BYTES)
    if event.retracts:
        limits.check_id(event.retracts, "retracts")
    if not event.HasField("occurred_at"):
        raise BadInputError("occurred_at is required.", field="occurred_at", reason="INVALID_TIME")
    if event.HasField("value"):
        limits.check_finite(event.value, "value")
    microseconds(event.occurred_at, "occurred_at")
    return json_text(event.context, "context")


_TYPES = {
    **dict.fromkeys(("event_id", "user", "item", "kind", "session_key", "context", "retracts"), pl.String),
    "value": pl.Float64,
    "sequence": pl.Int64,
    "seconds": pl.Int64,
    "nanos": pl.Int64,
}
_TEXTS = ("event_id", "user", "item", "kind", "session_key", "retracts")
_NEEDED = ("event_id", "user", "item", "kind")

_SUSPECT = pl.any_horizontal(
    *(pl.col(name).str.len_bytes() > limits.MAX_ID_BYTES for name in _TEXTS),
    *(pl.col(name).str.contains("[\x00-\x1f\x7f]") for name in _TEXTS),
    *(pl.col(name) == "" for name in _NEEDED),
    ~pl.col("value").is_finite().fill_null(True),
    ~pl.col("has_time"),
    ~pl.col("seconds").is_between(_FIRST_S, _LAST_S),
    ~pl.col("nanos").is_between(0, 999_999_999),
    pl.col("has_context"),
)


def _unless_empty(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name)).alias(name)


_CANONICAL = [
    "event_id",
    "user",
    _unless_empty("item"),
    "kind",
    "value",
    _unless_empty("session_key"),
    "sequence",
    "context",
    _unless_empty("retracts"),
    (pl.col("seconds") * SECOND_US + pl.col("nanos") // 1_000).alias("occurred_at"),
]
