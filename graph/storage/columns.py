"""The canonical Arrow tables at the store's border: what readers produce and the store takes.

External ids are the shop's strings. Times are int64 microseconds UTC. JSON travels as text. Columns marked nullable may
be missing from a table altogether; `canonical` adds them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from graph.storage.errors import BadInputError


def _required(name: str, kind: pa.DataType) -> pa.Field:
    return pa.field(name, kind, nullable=False)


EVENTS = pa.schema(
    [
        pa.field("event_id", pa.string()),  # null: made from the row's content, see event_ids.py
        _required("user", pa.string()),
        _required("item", pa.string()),  # may be null in a retraction, which takes it from the event it names
        _required("kind", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("session_key", pa.string()),  # basket or visit
        pa.field("sequence", pa.int64()),  # the source's order within one instant
        pa.field("context", pa.string()),  # JSON object
        pa.field("retracts", pa.string()),  # the event_id that an event of kind retract withdraws
        _required("occurred_at", pa.int64()),
        pa.field("recorded_at", pa.int64()),  # null: the start of the load
    ]
)

ITEMS = pa.schema(
    [
        _required("item", pa.string()),
        pa.field("name", pa.string()),
        pa.field("attributes", pa.string()),  # JSON object
        pa.field("available", pa.bool_()),  # null: available
        pa.field("categories", pa.list_(pa.string())),  # external ids, without order
        pa.field("valid_from", pa.int64()),  # null: from ever if the item is new, else from now
    ]
)

CATEGORIES = pa.schema(
    [
        _required("category", pa.string()),
        pa.field("name", pa.string()),
        pa.field("parent", pa.string()),  # external id; null: a root
        pa.field("valid_from", pa.int64()),  # null: from ever if the category is new, else from now
    ]
)

USERS = pa.schema(
    [
        _required("user", pa.string()),
        pa.field("attributes", pa.string()),  # JSON object
    ]
)


def canonical(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns of `schema`, missing nullable ones filled with nulls.

    Raises BadInputError for a missing or unknown column, or for one whose type does not fit.
    """
    unknown = [name for name in table.column_names if name not in schema.names]
    if unknown:
        raise BadInputError(f"Unknown column {unknown[0]!r}.", hint=f"Known are {', '.join(schema.names)}.")
    columns = []
    for field in schema:
        if field.name in table.column_names:
            try:
                columns.append(table[field.name].cast(field.type))
            except pa.ArrowException as error:  # of values that do not fit, or of types between which there is no cast
                raise BadInputError(f"Column {field.name!r} is not of type {field.type}: {error}") from error
        elif field.nullable or (field.name in ("user", "item") and "retracts" in table.column_names):
            columns.append(pa.nulls(len(table), field.type))
        else:
            raise BadInputError(f"Column {field.name!r} is missing.")
    # Nulls in required columns are refused row by row, with a reason, so the table itself allows them.
    return pa.table(columns, schema=pa.schema([field.with_nullable(True) for field in schema]))


def fitted(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """What a driver read, in the schema's order, with the schema's names and types. Raises ArrowException."""
    columns = [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)]
    return pa.record_batch(columns, schema=schema)


def table_of(schema: pa.Schema, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A canonical table from a few dicts, for tests and single calls."""
    return canonical(pa.Table.from_pylist([dict(row) for row in rows], schema=schema), schema)
