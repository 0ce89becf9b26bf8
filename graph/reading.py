"""From the store's rows to logs of indices. Only here does the graph know tables and surrogate ids."""

import json
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Table, Text, cast, func, select

from graph.arrays import Int64s
from graph.catalog import CatalogLog, CategoryVersions, ItemVersions
from graph.event_columns import EventColumns, event_columns, read_columns
from graph.events import EventLog, Events
from graph.ids import IdMap
from graph.order import event_order
from graph.schema import RETRACT
from graph.storage.database import Database, arrow_schema
from graph.storage.kinds import EventKind
from graph.storage.rules import written_json
from graph.storage.scan import scan
from graph.storage.tables import category, category_version, interaction, item, item_category, item_version, user
from graph.storage.times import NEVER_US


@dataclass(frozen=True, eq=False)
class EventRows:
    events: EventColumns
    withdrawals: pa.Table  # id of a withdrawn event, and the moment since when


@dataclass(frozen=True, eq=False)
class VersionRows:
    items: pa.Table  # sorted by (item_id, valid_from, recorded_at, id)
    item_categories: pa.Table  # item_version_id, category_id
    categories: pa.Table  # sorted like items


def newest_event(database: Database, known_at: int) -> int | None:
    """The newest `occurred_at` of the rows known, in microseconds; None for an empty store."""
    statement = select(func.max(interaction.c.occurred_at)).where(interaction.c.recorded_at <= known_at)
    with database.connect() as connection:
        return connection.execute(statement).scalar()


def end_of_events(database: Database, known_at: int) -> int:
    """Just after the newest event known, microseconds; `known_at` for a store without events."""
    newest = newest_event(database, known_at)
    return known_at if newest is None else newest + 1


def read_events(database: Database, kinds: tuple[EventKind, ...], as_of: int, known_at: int) -> EventRows:
    """Events before `as_of` that were known at `known_at`, and which of them such a retraction withdraws.

    A retraction cannot be retracted: who withdrew an event in error sends it again under a new id.
    """
    event, retraction = interaction.c, interaction.alias("retraction")
    retract = [kind.id for kind in kinds if kind.name == RETRACT]
    shown = [kind.id for kind in kinds if kind.name != RETRACT]
    wanted = (event.occurred_at < as_of, event.recorded_at <= known_at, event.kind_id.in_(shown))
    events = read_columns(database, event_columns().where(*wanted))
    withdrawals = database.read(
        select(event.id, func.min(retraction.c.occurred_at).label("withdrawn_at"))
        .join_from(retraction, interaction, event.event_id == retraction.c.retracts)
        .where(
            retraction.c.kind_id.in_(retract),
            retraction.c.retracts.is_not(None),
            retraction.c.occurred_at < as_of,
            retraction.c.recorded_at <= known_at,
        )
        .group_by(event.id)
    )
    return EventRows(events, withdrawals)


def read_versions(database: Database, as_of: int, known_at: int) -> VersionRows:
    """Catalog versions that hold at `as_of` or held earlier, as known at `known_at`."""
    items, categories, link = item_version.c, category_version.c, item_category.c
    item_known = (items.valid_from <= as_of) & (items.recorded_at <= known_at)
    item_rows = database.read(
        select(
            items.id,
            items.item_id,
            items.valid_from,
            items.recorded_at,
            items.name,
            cast(items.attributes, Text).label("attributes"),
            items.available,
            items.deleted,
        )
        .where(item_known)
        .order_by(items.item_id, items.valid_from, items.recorded_at, items.id)
    )
    links = database.read(
        select(link.item_version_id, link.category_id)
        .join_from(item_category, item_version, items.id == link.item_version_id)
        .where(item_known)
    )
    category_rows = database.read(
        select(
            categories.id,
            categories.category_id,
            categories.valid_from,
            categories.recorded_at,
            categories.name,
            categories.parent_id,
            categories.deleted,
        )
        .where(categories.valid_from <= as_of, categories.recorded_at <= known_at)
        .order_by(categories.category_id, categories.valid_from, categories.recorded_at, categories.id)
    )
    return VersionRows(item_rows, links, category_rows)


def read_ids(database: Database, rows: EventRows, versions: VersionRows, known_at: int) -> tuple[IdMap, IdMap, IdMap]:
    """The index spaces of users, items and categories."""
    return (
        _ids(database, user, known_at, rows.events["user"]),
        _ids(database, item, known_at, rows.events["item"], numbers(versions.items["item_id"])),
        category_ids(database, versions, known_at),
    )


def category_ids(database: Database, versions: VersionRows, known_at: int) -> IdMap:
    rows = versions.categories
    named = (rows["category_id"], rows["parent_id"].drop_null(), versions.item_categories["category_id"])
    return _ids(database, category, known_at, *(numbers(column) for column in named))


def event_log(rows: EventRows, kinds: tuple[EventKind, ...], users: IdMap, items: IdMap) -> EventLog:
    """Takes the columns out of `rows` as it goes, so that no more than one of them is there twice."""
    columns = rows.events
    withdrawn = np.full(len(columns["id"]), NEVER_US, np.int64)
    if len(rows.withdrawals):
        named, since = numbers(rows.withdrawals["id"]), numbers(rows.withdrawals["withdrawn_at"])
        ascending = np.argsort(named)
        here = np.flatnonzero(np.isin(columns["id"], named))
        withdrawn[here] = since[ascending][np.searchsorted(named[ascending], columns["id"][here])]
    events, order = sorted_events(columns, kinds, users, items)
    return EventLog(events, withdrawn[order])


def sorted_events(
    columns: EventColumns, kinds: tuple[EventKind, ...], users: IdMap, items: IdMap
) -> tuple[Events, npt.NDArray[np.integer[Any]]]:
    """(events of indices in the order of a log, int [n] where each of them stood); takes their columns out."""
    columns["user"] = users.index_of_surrogate(columns["user"])
    columns["item"] = items.index_of_surrogate(columns["item"])
    kind_ids = np.array([kind.id for kind in kinds], np.int64)
    columns["kind"] = np.searchsorted(kind_ids, columns["kind"]).astype(np.int16)
    order = event_order(*(columns[name] for name in ("user", "item", "occurred_at", "sequence", "id")))
    return Events(**{field.name: columns.pop(field.name)[order] for field in fields(Events)}), order


def catalog_log(versions: VersionRows, items: IdMap, categories: IdMap) -> CatalogLog:
    rows, links, trees = versions.items, versions.item_categories, versions.categories
    version = pc.index_in(links["item_version_id"], value_set=rows["id"].combine_chunks())
    version = np.asarray(version.combine_chunks().fill_null(-1))  # -1: written after the versions were read
    linked = categories.index_of_surrogate(numbers(links["category_id"]))
    order = np.lexsort((linked, version))
    order = order[version[order] >= 0]
    parent = trees["parent_id"].fill_null(-1)
    return CatalogLog(
        n_items=len(items),
        n_categories=len(categories),
        items=ItemVersions(
            item=items.index_of_surrogate(numbers(rows["item_id"])),
            valid_from=numbers(rows["valid_from"]),
            name=_text(rows["name"]),
            attributes=_objects(rows["attributes"]),
            available=_flags(rows["available"]),
            deleted=_flags(rows["deleted"]),
            category_offsets=np.searchsorted(version[order], np.arange(len(rows) + 1)),
            category=linked[order],
        ),
        categories=CategoryVersions(
            category=categories.index_of_surrogate(numbers(trees["category_id"])),
            valid_from=numbers(trees["valid_from"]),
            name=_text(trees["name"]),
            parent=categories.index_of_surrogate(numbers(parent)),
            deleted=_flags(trees["deleted"]),
        ),
    )


def _ids(database: Database, table: Table, known_at: int, *named: npt.NDArray[np.integer[Any]]) -> IdMap:
    """Rows of `table` known at `known_at` or named by rows that are: a source may date its events before our load."""
    everyone, recorded_at = read_all_ids(database, table)
    wanted = recorded_at <= known_at
    if wanted.all():
        return everyone
    for references in named:
        wanted[everyone.index_of_surrogate(references)] = True
    return IdMap(everyone.external.filter(pa.array(wanted)), everyone.surrogate[wanted])


def read_all_ids(database: Database, table: Table, above: int | None = None) -> tuple[IdMap, Int64s]:
    """All rows of `table` (with a number greater than `above`), and int64 [n] when each was recorded."""
    columns = table.c
    statement = select(columns.id, columns.external_id, columns.recorded_at)
    batches = scan(database, statement, columns.id, lambda batch: batch, above=above)
    rows = pa.Table.from_batches(batches, schema=arrow_schema(statement))
    if (np.diff(numbers(rows["id"])) < 0).any():
        rows = rows.sort_by("id")
    return IdMap(_text(rows["external_id"]), numbers(rows["id"])), numbers(rows["recorded_at"])


def numbers(column: pa.ChunkedArray) -> Int64s:
    return np.asarray(column, dtype=np.int64)


def _flags(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.asarray(column, dtype=np.bool_)


def _objects(column: pa.ChunkedArray) -> pa.StringArray:
    """JSON objects written in the one way (PostgreSQL has another), "" where there is nothing."""
    coded = _text(column).dictionary_encode()
    known = [(text and written_json(json.loads(text) or None)) or "" for text in coded.dictionary.to_pylist()]
    return pa.array(known, pa.string()).take(coded.indices)


def _text(column: pa.ChunkedArray) -> pa.StringArray:
    return pa.chunked_array(column.chunks, pa.string()).combine_chunks().fill_null("")
