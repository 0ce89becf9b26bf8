"""All that was true as of one moment and known at another: the only way from the store to anything that learns.

    occurred_at < as_of   recorded_at <= known_at   not withdrawn by a retraction for which the same holds
    catalog versions with valid_from <= as_of and recorded_at <= known_at

`Snapshot.until(t)` is the same moment's knowledge cut further back, in memory, in the same index spaces.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from graph import reading
from graph.arrays import Bools, Int32s
from graph.catalog import Catalog, CatalogLog
from graph.events import EventLog, Events
from graph.hashing import hash_rows, hash_strings
from graph.ids import IdMap
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.kinds import EventKind, load_kinds
from graph.storage.times import format_time, now_us

__all__ = ["EventLog", "Events", "Snapshot", "is_comparable", "snapshot_at", "take_snapshot"]

HASH_DEFINITION = "3"
"""Stands before a content hash; to be raised with whatever the hash covers. Version 0.1.0, which left the attributes of
items out, wrote its hashes with nothing before them."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """U users, I items, C categories, n visible events. Index = place in the order of surrogate ids."""

    as_of: int  # microseconds: events before it
    known_at: int  # microseconds: rows recorded until then
    users: IdMap
    items: IdMap
    categories: IdMap
    kinds: tuple[EventKind, ...]
    catalog: Catalog
    log: EventLog
    catalog_log: CatalogLog

    @cached_property
    def events(self) -> Events:
        """The visible ones."""
        return self.log.at(self.as_of)

    def until(self, t: int) -> "Snapshot":
        """As of an earlier moment `t`, with the same knowledge. BadInputError if `t` lies after `as_of`."""
        if t > self.as_of:
            raise BadInputError(
                f"a snapshot as of {format_time(self.as_of)} cannot be seen as of {format_time(t)}",
                hint="Take a new snapshot from the store.",
            )
        return snapshot_at(
            t, self.known_at, self.users, self.items, self.categories, self.kinds, self.log, self.catalog_log
        )

    @property
    def newest_end(self) -> int:
        """Just after the newest visible event, microseconds; `as_of` where there is none.

        What a hold-out counts back from: a retraction or a withdrawn event may be far newer than all that stands.
        """
        times = self.events.occurred_at
        return int(times.max()) + 1 if len(times) else self.as_of

    @property
    def item_category(self) -> Int32s:
        """int32 [2, m]: item, category."""
        return self.catalog.item_category

    @property
    def category_parent(self) -> Int32s:
        """int32 [C], -1 = a root."""
        return self.catalog.category_parent

    @property
    def item_exists(self) -> Bools:
        return self.catalog.item_exists

    @property
    def item_available(self) -> Bools:
        return self.catalog.item_available

    @property
    def category_exists(self) -> Bools:
        return self.catalog.category_exists

    @property
    def item_names(self) -> pa.StringArray:
        return self.catalog.item_names

    @property
    def item_attributes(self) -> pa.StringArray:
        return self.catalog.item_attributes

    @property
    def category_names(self) -> pa.StringArray:
        return self.catalog.category_names

    @cached_property
    def content_hash(self) -> str:
        """Over visible events, catalog and kinds; blind to surrogate ids and to the order of loading.

        The definition by which it is made, a colon and 32 hex digits.
        """
        user, item = hash_strings(self.users.external), hash_strings(self.items.external)
        category = hash_strings(self.categories.external)
        kind = hash_strings(pa.array([kind.name for kind in self.kinds], pa.string()))
        events, seen = self.events, self.catalog
        parent = np.where(seen.category_parent >= 0, category[seen.category_parent], 0) if len(category) else category
        rows = (
            hash_rows(
                user[events.user],
                item[events.item],
                kind[events.kind],
                events.value,
                events.occurred_at,
                events.sequence,
                events.session,
            ),
            hash_rows(item, seen.item_available, hash_strings(seen.item_names), hash_strings(seen.item_attributes))[
                seen.item_exists
            ],
            hash_rows(item[seen.item_category[0]], category[seen.item_category[1]]),
            hash_rows(category, hash_strings(seen.category_names), parent)[seen.category_exists],
        )
        digest = hashlib.blake2b(digest_size=16)
        for hashes in rows:
            digest.update(np.sort(hashes).astype("<u8").tobytes() + b"|")
        for k in sorted(self.kinds, key=lambda kind: kind.name):
            digest.update(f"{k.name} {k.weight!r} {k.sign} {k.half_life_days!r} {k.middle!r}|".encode())
        return f"{HASH_DEFINITION}:{digest.hexdigest()}"


def is_comparable(recorded_hash: str) -> bool:
    """Whether it is of today's definition: another one differs from today's hash of the same content."""
    return recorded_hash.startswith(f"{HASH_DEFINITION}:")


def take_snapshot(database: Database, *, as_of: int | None, known_at: int | None = None) -> Snapshot:
    """Reads the store, column-wise. Times in microseconds UTC.

    `as_of` None means just after the newest event known (an empty store: `known_at`); `known_at` None means now.
    An index space holds every row known at `known_at`, and what a visible event or version names besides; the catalog
    tells which of them exist as of the moment. Raises SchemaError, StoreUnavailableError.
    """
    known_at = now_us() if known_at is None else known_at
    if as_of is None:
        as_of = reading.end_of_events(database, known_at)
    # Events before ids, versions before the categories they name: what is written meanwhile is then never missing.
    kinds = load_kinds(database)
    rows = reading.read_events(database, kinds, as_of, known_at)
    versions = reading.read_versions(database, as_of, known_at)
    users, items, categories = reading.read_ids(database, rows, versions, known_at)
    return snapshot_at(
        as_of,
        known_at,
        users,
        items,
        categories,
        kinds,
        reading.event_log(rows, kinds, users, items),
        reading.catalog_log(versions, items, categories),
    )


def snapshot_at(
    t: int,
    known_at: int,
    users: IdMap,
    items: IdMap,
    categories: IdMap,
    kinds: tuple[EventKind, ...],
    log: EventLog,
    catalog_log: CatalogLog,
) -> Snapshot:
    return Snapshot(t, known_at, users, items, categories, kinds, catalog_log.at(t), log, catalog_log)
