"""Categories, a tree: upsert, delete, get, list."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
from sqlalchemy import BigInteger, Connection, Select, func, select

from graph.storage.bulk import listed, read_frame
from graph.storage.changes import append_change, names
from graph.storage.columns import CATEGORIES, canonical
from graph.storage.cycles import cycles_over_time, told
from graph.storage.database import Database
from graph.storage.externals import create_missing, ids_of, resolve
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.rules import CLOCK_TOLERANCE_US, id_rules, version_rules
from graph.storage.tables import category, category_version, item_category, item_version
from graph.storage.times import now_us
from graph.storage.versions import append_versions, last_of_each_time, lock_catalog, news, with_valid_from

CONTENT = ("name", "parent", "deleted")
_parent = category.alias("parent")
_KNOWN = {
    "category": pl.String(),
    "category_id": pl.Int64(),
    "id": pl.Int64(),
    "valid_from": pl.Int64(),
    "name": pl.String(),
    "parent": pl.String(),
    "deleted": pl.Boolean(),
    "is_current": pl.Boolean(),
}


@dataclass(frozen=True)
class Category:
    """A category as it is now."""

    category: str
    name: str | None
    parent: str | None  # external id, None for a root
    valid_from: int  # us
    recorded_at: int  # us


def upsert_categories(
    database: Database,
    categories: pa.Table,
    *,
    recorded_at: int | None = None,
    clock_tolerance_us: int = CLOCK_TOLERANCE_US,
) -> Outcomes:
    """Appends a version for each row of columns.CATEGORIES that says something new; parents and children in any order.

    A row without `valid_from` holds from ever when nothing was known of the category, else from `recorded_at` (now).
    Refused: an unknown parent, and rows that would close a cycle, which the reason names.
    """
    recorded_at = now_us() if recorded_at is None else recorded_at
    frame = pl.DataFrame(canonical(categories, CATEGORIES)).with_row_index("row")
    outcomes = Outcomes(len(frame))
    rules = [*id_rules("category"), *id_rules("parent", nullable=True)]
    frame = outcomes.enforce(frame, [*rules, *version_rules(latest=recorded_at + clock_tolerance_us)])
    frame = frame.with_columns(pl.lit(False).alias("deleted"))
    return database.transact(lambda connection: _store(connection, frame, outcomes.copy(), recorded_at))


def _store(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes, recorded_at: int) -> Outcomes:
    lock_catalog(connection)
    known = known_versions(connection)
    frame = with_valid_from(frame, known, "category", recorded_at)
    frame = last_of_each_time(frame, outcomes, "category")
    frame = _with_sound_parents(frame, known, outcomes)
    frame = news(frame, known, outcomes, "category", CONTENT)
    if frame.is_empty():
        return outcomes
    create_missing(connection, category, frame["category"], recorded_at)
    frame = _with_ids(connection, frame)
    append_versions(connection, category_version, frame, known, "category_id", recorded_at)
    append_change(connection, "catalog", {"categories": names(frame["category"].unique().to_list())})
    return outcomes


def _with_ids(connection: Connection, frame: pl.DataFrame) -> pl.DataFrame:
    ids = resolve(connection, category, pl.concat([frame["category"], frame["parent"]]))
    return frame.with_columns(ids_of(frame["category"], ids, "category_id"), ids_of(frame["parent"], ids, "parent_id"))


def _with_sound_parents(frame: pl.DataFrame, known: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    """Refuses rows without a living parent and rows on a cycle, until a forest is left at every time they name."""
    living = known.filter(pl.col("is_current") & ~pl.col("deleted"))["category"]
    while True:
        there = pl.concat([living, frame["category"]]).unique().implode()
        reason = pl.lit("unknown parent category ") + pl.col("parent")
        is_dangling = pl.col("parent").is_not_null() & ~pl.col("parent").is_in(there)
        sound = outcomes.refuse(frame, is_dangling, Outcome.UNKNOWN_CATEGORY, reason)
        if len(sound) == len(frame):
            sound = _without_cycles(frame, known, outcomes)
        if len(sound) == len(frame):
            return frame
        frame = sound


def _without_cycles(frame: pl.DataFrame, known: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    """Refuses the rows on a cycle at any time from theirs on: a stored version that begins later may close it too."""
    if frame.is_empty():
        return frame
    shared = ("category", "parent", "deleted", "valid_from")
    stored = known.sort("id").select(*shared, pl.lit(None, pl.UInt32).alias("row"))
    versions = pl.concat([stored, frame.select(*shared, "row")])
    for cycle, places in cycles_over_time(versions, first=min(frame["valid_from"].to_list())):
        rows = versions["row"].gather(places).drop_nulls()
        reason = f"categories would form a cycle: {told(cycle)}"
        frame = outcomes.refuse(frame, pl.col("row").is_in(rows.implode()), Outcome.CYCLE, reason)
    return frame


def delete_categories(database: Database, categories: Sequence[str], *, recorded_at: int | None = None) -> Outcomes:
    """Categories that are no more from now on; their past stays.

    Outcomes: accepted, unchanged (gone before), unknown_category, in_use while categories or items hang below; several
    given together may hang below each other.
    """
    recorded_at = now_us() if recorded_at is None else recorded_at
    wanted = pl.DataFrame({"category": pl.Series(categories, dtype=pl.String)}).with_row_index("row")
    with database.begin() as connection:
        lock_catalog(connection)
        outcomes = Outcomes(len(wanted))
        known = known_versions(connection)
        current = known.filter("is_current")
        frame = wanted.join(current, on="category", how="left", maintain_order="left")
        reason = pl.lit("unknown category ") + pl.col("category")
        frame = outcomes.refuse(frame, pl.col("category_id").is_null(), Outcome.UNKNOWN_CATEGORY, reason)
        repeated = pl.col("deleted") | ~pl.col("category").is_first_distinct()
        frame = outcomes.refuse(frame, repeated, Outcome.UNCHANGED, "")
        frame = _unused(connection, frame, current, outcomes)
        if not frame.is_empty():
            since = pl.max_horizontal(pl.lit(recorded_at, pl.Int64), "valid_from")
            gone = _with_ids(connection, frame).with_columns(since.alias("valid_from"), deleted=True)
            append_versions(
                connection, category_version, gone.drop("id", "is_current"), known, "category_id", recorded_at
            )
            append_change(connection, "catalog", {"categories": names(frame["category"].to_list())})
    return outcomes


def _unused(connection: Connection, frame: pl.DataFrame, current: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    ids = listed(connection, frame["category_id"].to_list(), BigInteger)
    holding = (
        select(item_category.c.category_id, func.count())
        .join(item_version, (item_version.c.id == item_category.c.item_version_id) & item_version.c.is_current)
        .join(ids, ids.c.value == item_category.c.category_id)
        .where(~item_version.c.deleted)
        .group_by(item_category.c.category_id)
    )
    items = read_frame(connection, holding, {"category_id": pl.Int64(), "items": pl.Int64()})
    frame = frame.join(items, on="category_id", how="left", maintain_order="left")
    reason = pl.col("items").cast(pl.String) + pl.lit(" items are in category ") + pl.col("category")
    frame = outcomes.refuse(frame, pl.col("items") > 0, Outcome.IN_USE, reason).drop("items")
    children = current.filter(~pl.col("deleted")).select(
        pl.col("parent").alias("category"), pl.col("category").alias("child")
    )
    while True:  # a refused child keeps its parent
        left = children.filter(~pl.col("child").is_in(frame["category"].implode())).unique("category")
        held = frame.join(left, on="category", how="left", maintain_order="left")
        reason = pl.lit("category ") + pl.col("child") + pl.lit(" hangs below ") + pl.col("category")
        kept = outcomes.refuse(held, pl.col("child").is_not_null(), Outcome.IN_USE, reason).drop("child")
        if len(kept) == len(frame):
            return frame
        frame = kept


def get_categories(database: Database, categories: Sequence[str]) -> dict[str, Category]:
    """The known, undeleted ones among `categories`, by external id."""
    with database.connect() as connection:
        wanted = listed(connection, categories)
        rows = connection.execute(_current().join(wanted, wanted.c.value == category.c.external_id))
        return {row[0]: Category(*row) for row in rows}


def list_categories(
    database: Database, *, after: str = "", limit: int = 100, parent: str | None = None
) -> list[Category]:
    """At most `limit` undeleted categories in the order of their external ids' code points, those above `after`.

    parent: only its children.
    """
    external = category.c.external_id
    query = _current().where(external > after).order_by(external).limit(limit)
    if parent is not None:
        query = query.where(_parent.c.external_id == parent)
    with database.connect() as connection:
        return [Category(*row) for row in connection.execute(query)]


def categories_below(database: Database, external: str) -> list[str]:
    """A category and all below it as of now, by external ids; empty where there is no such category."""
    version = category_version.c
    living = select(version.category_id, version.parent_id).where(version.is_current, ~version.deleted).cte("living")
    top = select(living.c.category_id).join(category, category.c.id == living.c.category_id)
    below = top.where(category.c.external_id == external).cte("below", recursive=True)
    below = below.union(select(living.c.category_id).where(living.c.parent_id == below.c.category_id))
    query = select(category.c.external_id).join(below, below.c.category_id == category.c.id)
    with database.connect() as connection:
        return list(connection.execute(query).scalars())


def _current() -> Select[Any]:
    version = category_version.c
    joined = category.join(category_version, (version.category_id == category.c.id) & version.is_current)
    return (
        select(category.c.external_id, version.name, _parent.c.external_id, version.valid_from, version.recorded_at)
        .select_from(joined.outerjoin(_parent, _parent.c.id == version.parent_id))
        .where(~version.deleted)
    )


def known_versions(connection: Connection) -> pl.DataFrame:
    """All versions of all categories: a cycle may run through any of them, and categories are few."""
    version = category_version.c
    query = (
        select(
            category.c.external_id, version.category_id, version.id, version.valid_from, version.name,
            _parent.c.external_id, version.deleted, version.is_current,
        )
        .join(category, category.c.id == version.category_id)
        .outerjoin(_parent, _parent.c.id == version.parent_id)
    )  # fmt: skip
    return read_frame(connection, query, _KNOWN)
