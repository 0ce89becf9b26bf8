"""From the store's rows to logs of indices. Only here does the graph know tables and surrogate ids."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Table, Text, cast, func, select

from graph.arrays import Int64s
from graph.catalog import CatalogLog, CategoryVersions, ItemVersions
from graph.events import EventLog, Events
from graph.hashing import hash_strings
from graph.ids import IdMap
from graph.schema import RETRACT
from graph.storage.database import Database
from graph.storage.kinds import EventKind
from graph.storage.rules import written_json
from graph.storage.tables import category, category_version, interaction, item, item_category, item_version, user
from graph.storage.times import NEVER_US

_LARGEST = float(np.finfo(np.float32).max)  # a value beyond it would become infinite


@dataclass(frozen=True, eq=False)
class EventRows:
    events: pa.Table
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


def read_events(database: Database, kinds: tuple[EventKind, ...], as_of: int, known_at: int) -> EventRows:
    """Events before `as_of` that were known at `known_at`, and which of them such a retraction withdraws.

    A retraction cannot be retracted: who withdrew an event in error sends it again under a new id.
    """
    event, retraction = interaction.c, interaction.alias("retraction")
    retract = [kind.id for kind in kinds if kind.name == RETRACT]
    shown = [kind.id for kind in kinds if kind.name != RETRACT]
    events = database.read(
        select(
            event.id,
            event.user_id,
            event.item_id,
            event.kind_id,
            event.value,
            event.session_key,
            event.sequence,
            event.occurred_at,
        ).where(event.occurred_at < as_of, event.recorded_at <= known_at, event.kind_id.in_(shown))
    )
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
    events, items, categories = rows.events, versions.items, versions.categories
    parents = categories["parent_id"].drop_null()
    return (
        _ids(database, user, known_at, events["user_id"]),
        _ids(database, item, known_at, events["item_id"], items["item_id"]),
        _ids(database, category, known_at, categories["category_id"], parents, versions.item_categories["category_id"]),
    )


def event_log(rows: EventRows, kinds: tuple[EventKind, ...], users: IdMap, items: IdMap) -> EventLog:
    table = rows.events
    row_id = _numbers(table["id"])
    withdrawn = np.full(len(table), NEVER_US, np.int64)
    if len(rows.withdrawals):
        place = pc.index_in(rows.withdrawals["id"], value_set=table["id"]).combine_chunks()
        seen = np.asarray(place.is_valid())
        withdrawn[np.asarray(place.drop_null())] = _numbers(rows.withdrawals["withdrawn_at"])[seen]

    kind_ids = np.array([kind.id for kind in kinds], np.int64)
    events = Events(
        user=users.index_of_surrogate(_numbers(table["user_id"])),
        item=items.index_of_surrogate(_numbers(table["item_id"])),
        kind=np.searchsorted(kind_ids, _numbers(table["kind_id"])).astype(np.int16),
        value=np.clip(np.asarray(table["value"].fill_null(np.nan)), -_LARGEST, _LARGEST).astype(np.float32),
        occurred_at=_numbers(table["occurred_at"]),
        sequence=_numbers(table["sequence"].fill_null(-1)),
        session=_sessions(table["session_key"]),
        id=row_id,
    )
    order = np.lexsort((row_id, events.item, events.sequence, events.occurred_at, events.user))
    return EventLog(events.take(order), withdrawn[order])


def catalog_log(versions: VersionRows, items: IdMap, categories: IdMap) -> CatalogLog:
    rows, links, trees = versions.items, versions.item_categories, versions.categories
    version = pc.index_in(links["item_version_id"], value_set=rows["id"].combine_chunks())
    version = np.asarray(version.combine_chunks().fill_null(-1))  # -1: written after the versions were read
    linked = categories.index_of_surrogate(_numbers(links["category_id"]))
    order = np.lexsort((linked, version))
    order = order[version[order] >= 0]
    parent = trees["parent_id"].fill_null(-1)
    return CatalogLog(
        n_items=len(items),
        n_categories=len(categories),
        items=ItemVersions(
            item=items.index_of_surrogate(_numbers(rows["item_id"])),
            valid_from=_numbers(rows["valid_from"]),
            name=_text(rows["name"]),
            attributes=_objects(rows["attributes"]),
            available=_flags(rows["available"]),
            deleted=_flags(rows["deleted"]),
            category_offsets=np.searchsorted(version[order], np.arange(len(rows) + 1)),
            category=linked[order],
        ),
        categories=CategoryVersions(
            category=categories.index_of_surrogate(_numbers(trees["category_id"])),
            valid_from=_numbers(trees["valid_from"]),
            name=_text(trees["name"]),
            parent=categories.index_of_surrogate(_numbers(parent)),
            deleted=_flags(trees["deleted"]),
        ),
    )


def _ids(database: Database, table: Table, known_at: int, *named: pa.ChunkedArray) -> IdMap:
    """Rows of `table` known at `known_at` or named by rows that are: a source may date its events before our load."""
    columns = table.c
    rows = database.read(select(columns.id, columns.external_id, columns.recorded_at).order_by(columns.id))
    surrogate = _numbers(rows["id"])
    wanted = _numbers(rows["recorded_at"]) <= known_at
    for references in named:
        wanted[np.searchsorted(surrogate, np.asarray(references.unique(), np.int64))] = True
    return IdMap(_text(rows["external_id"].filter(pa.array(wanted))), surrogate[wanted])


def _sessions(keys: pa.ChunkedArray) -> Int64s:
    """int64 [n] >= 0, -1 where there is no key: keys are compared, never shown, so 63 bits of a hash do."""
    coded = keys.combine_chunks().dictionary_encode()
    hashes = (hash_strings(coded.dictionary) >> np.uint64(1)).astype(np.int64)
    code = np.asarray(coded.indices.fill_null(len(hashes)))
    sessions: Int64s = np.append(hashes, np.int64(-1))[code]
    return sessions


def _numbers(column: pa.ChunkedArray) -> Int64s:
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
