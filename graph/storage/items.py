"""Items: upsert, delete, get, list. Categories and users have files of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
from sqlalchemy import BigInteger, Connection, Select, func, select

from graph.storage.bulk import append_rows, listed, read_frame
from graph.storage.changes import append_change, names
from graph.storage.columns import ITEMS, canonical
from graph.storage.database import Database
from graph.storage.externals import create_missing, ids_of, resolve
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.rules import CLOCK_TOLERANCE_US, canonical_json, id_rules, version_rules
from graph.storage.tables import category, category_version, item, item_category, item_version
from graph.storage.times import EVER_US, now_us
from graph.storage.versions import append_versions, last_of_each_time, lock_catalog, news, with_valid_from

CONTENT = ("name", "attributes", "available", "deleted", "categories")
_KNOWN = {
    "item": pl.String(),
    "item_id": pl.Int64(),
    "id": pl.Int64(),
    "valid_from": pl.Int64(),
    "name": pl.String(),
    "attributes": pl.String(),
    "available": pl.Boolean(),
    "deleted": pl.Boolean(),
    "is_current": pl.Boolean(),
}


@dataclass(frozen=True)
class Item:
    """An item as it is now."""

    item: str
    name: str | None
    attributes: Mapping[str, Any] | None
    available: bool
    categories: tuple[str, ...]  # external ids, sorted
    valid_from: int  # us
    recorded_at: int  # us


def upsert_items(
    database: Database, items: pa.Table, *, recorded_at: int | None = None, clock_tolerance_us: int = CLOCK_TOLERANCE_US
) -> Outcomes:
    """Appends a version for each row of columns.ITEMS that says something new. Raises BadInputError for bad columns.

    A row without `valid_from` holds from ever when nothing was known of the item, else from `recorded_at` (us, now).
    A row naming an unknown category is refused; deleted items come back.
    """
    recorded_at = now_us() if recorded_at is None else recorded_at
    frame = pl.DataFrame(canonical(items, ITEMS)).with_row_index("row")
    outcomes = Outcomes(len(frame))
    rules = [*id_rules("item"), *version_rules(latest=recorded_at + clock_tolerance_us)]
    frame = outcomes.enforce(frame, rules)
    frame = canonical_json(frame, outcomes, "attributes").with_columns(
        pl.col("available").fill_null(True),
        pl.lit(False).alias("deleted"),
        pl.col("categories").fill_null([]).list.unique().list.sort(),
    )
    return database.transact(lambda connection: _store(connection, frame, outcomes.copy(), recorded_at))


def _store(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes, recorded_at: int) -> Outcomes:
    lock_catalog(connection)
    categories = _living_categories(connection, frame["categories"].explode(empty_as_null=True))
    frame = _with_known_categories(frame, categories, outcomes)
    known = _known_versions(connection, frame["item"])
    frame = _superseding_stubs(frame, known)
    frame = with_valid_from(frame, known, "item", recorded_at)
    frame = last_of_each_time(frame, outcomes, "item")
    frame = news(frame, known, outcomes, "item", CONTENT)
    if frame.is_empty():
        return outcomes
    create_missing(connection, item, frame["item"], recorded_at)
    frame = frame.with_columns(ids_of(frame["item"], resolve(connection, item, frame["item"]), "item_id"))
    _append(connection, frame, known, categories, recorded_at)
    append_change(connection, "catalog", {"items": names(frame["item"].unique().to_list())})
    return outcomes


def delete_items(database: Database, items: Sequence[str], *, recorded_at: int | None = None) -> Outcomes:
    """Items that are no more from now on; their past stays. Outcomes: accepted, unchanged (gone), unknown_item."""
    recorded_at = now_us() if recorded_at is None else recorded_at
    frame = pl.DataFrame({"item": pl.Series(items, dtype=pl.String)}).with_row_index("row")
    with database.begin() as connection:
        lock_catalog(connection)
        outcomes = Outcomes(len(frame))
        known = _known_versions(connection, frame["item"])
        current = known.filter("is_current")
        frame = frame.join(current, on="item", how="left", maintain_order="left")
        reason = pl.lit("unknown item ") + pl.col("item")
        frame = outcomes.refuse(frame, pl.col("item_id").is_null(), Outcome.UNKNOWN_ITEM, reason)
        repeated = pl.col("deleted") | ~pl.col("item").is_first_distinct()
        frame = outcomes.refuse(frame, repeated, Outcome.UNCHANGED, "")
        if not frame.is_empty():
            since = pl.max_horizontal(pl.lit(recorded_at, pl.Int64), "valid_from")
            gone = frame.with_columns(since.alias("valid_from"), deleted=True, available=False)
            append_versions(connection, item_version, gone.drop("id", "is_current"), known, "item_id", recorded_at)
            append_change(connection, "catalog", {"items": names(frame["item"].to_list())})
    return outcomes


def get_items(database: Database, items: Sequence[str]) -> dict[str, Item]:
    """The known, undeleted ones among `items`, by external id."""
    with database.connect() as connection:
        wanted = listed(connection, items)
        return {
            found.item: found
            for found in _read(connection, _current().join(wanted, wanted.c.value == item.c.external_id))
        }


def list_items(
    database: Database, *, after: str = "", limit: int = 100, categories: Sequence[str] | None = None
) -> list[Item]:
    """At most `limit` undeleted items in the order of their external ids' code points, those above `after`.

    categories: only items that are in one of these themselves; `categories_below` adds what hangs below.
    """
    external = item.c.external_id
    with database.connect() as connection:
        query = _current().where(external > after).order_by(external).limit(limit)
        if categories is not None:
            wanted = listed(connection, categories)
            inside = (
                select(item_category.c.item_version_id)
                .join(category)
                .join(wanted, wanted.c.value == category.c.external_id)
            )
            query = query.where(item_version.c.id.in_(inside))
        return _read(connection, query)


def _current() -> Select[Any]:
    version = item_version.c
    columns = (version.id, version.name, version.attributes, version.available, version.valid_from, version.recorded_at)
    joined = item.join(item_version, (version.item_id == item.c.id) & version.is_current)
    return select(item.c.external_id, *columns).select_from(joined).where(~version.deleted)


def _read(connection: Connection, query: Select[Any]) -> list[Item]:
    rows = connection.execute(query).all()
    of_version: dict[int, list[str]] = {row.id: [] for row in rows}
    wanted = listed(connection, of_version, BigInteger)
    links = select(item_category.c.item_version_id, category.c.external_id).join(
        category, category.c.id == item_category.c.category_id
    )
    for version, name in connection.execute(links.join(wanted, wanted.c.value == item_category.c.item_version_id)):
        of_version[version].append(name)
    return [
        Item(
            row.external_id,
            row.name,
            row.attributes,
            row.available,
            tuple(sorted(of_version[row.id])),
            row.valid_from,
            row.recorded_at,
        )
        for row in rows
    ]


def _known_versions(connection: Connection, items: pl.Series) -> pl.DataFrame:
    """All stored versions of `items`, with the sorted external ids of their categories."""
    wanted = listed(connection, items.unique().to_list())
    of_items = item.join(wanted, wanted.c.value == item.c.external_id).join(item_version)
    version = item_version.c
    versions = read_frame(
        connection,
        select(item.c.external_id, *(version[name] for name in _KNOWN if name != "item")).select_from(of_items),
        _KNOWN,
    )
    links = read_frame(
        connection,
        select(version.id, category.c.external_id).select_from(of_items.join(item_category).join(category)),
        {"id": pl.Int64(), "categories": pl.String()},
    )
    sets = links.group_by("id").agg(pl.col("categories").sort())
    return versions.join(sets, on="id", how="left").with_columns(pl.col("categories").fill_null([]))


def _living_categories(connection: Connection, externals: pl.Series) -> pl.DataFrame:
    wanted = listed(connection, externals.drop_nulls().unique().to_list())
    version = category_version.c
    living = category.join(wanted, wanted.c.value == category.c.external_id).join(
        category_version, (version.category_id == category.c.id) & version.is_current & ~version.deleted
    )
    query = select(category.c.external_id, category.c.id).select_from(living)
    return read_frame(connection, query, {"category": pl.String(), "category_id": pl.Int64()})


def _with_known_categories(frame: pl.DataFrame, categories: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    known = categories["category"].implode()
    unknown = frame.select("row", pl.col("categories").alias("unknown")).explode("unknown", empty_as_null=False)
    unknown = unknown.filter(~pl.col("unknown").is_in(known).fill_null(False)).unique("row", keep="first")
    frame = frame.join(unknown, on="row", how="left", maintain_order="left")
    is_unknown = pl.col("row").is_in(unknown["row"].implode())
    reason = pl.lit("unknown category ") + pl.col("unknown").fill_null("(null)")
    return outcomes.refuse(frame, is_unknown, Outcome.UNKNOWN_CATEGORY, reason).drop("unknown")


def _superseding_stubs(frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """A first load without dates is valid from ever, also where events came first and made stubs, each valid from some
    time: the row speaks from ever, and once more at the time of each stub, which would hold there otherwise."""
    says_nothing = (
        pl.col("name").is_null()
        & pl.col("attributes").is_null()
        & (pl.col("categories").list.len() == 0)
        & ~pl.col("deleted")
    )
    stubs = known.filter(says_nothing.all().over("item")).select("item", pl.col("valid_from").alias("since"))
    undated = frame.filter(pl.col("valid_from").is_null())
    again = (
        undated.join(stubs.filter(pl.col("since") != EVER_US), on="item").with_columns(valid_from="since").drop("since")
    )
    is_stub = pl.col("item").is_in(stubs["item"].implode())
    from_ever = pl.when(is_stub & pl.col("valid_from").is_null()).then(pl.lit(EVER_US)).otherwise("valid_from")
    return pl.concat([frame.with_columns(from_ever.alias("valid_from")), again])


def _append(
    connection: Connection, frame: pl.DataFrame, known: pl.DataFrame, categories: pl.DataFrame, recorded_at: int
) -> None:
    newest = connection.execute(select(func.max(item_version.c.id))).scalar() or 0
    append_versions(connection, item_version, frame, known, "item_id", recorded_at)
    wanted = listed(connection, frame["item"].unique().to_list())
    query = (
        select(item_version.c.item_id, item_version.c.valid_from, item_version.c.id)
        .join(item, item.c.id == item_version.c.item_id)
        .join(wanted, wanted.c.value == item.c.external_id)
        .where(item_version.c.id > newest)
    )
    schema = {"item_id": pl.Int64(), "valid_from": pl.Int64(), "item_version_id": pl.Int64()}
    appended = read_frame(connection, query, schema)
    links = (
        frame.select("item_id", "valid_from", pl.col("categories").alias("category"))
        .explode("category", empty_as_null=False)
        .join(appended, on=["item_id", "valid_from"])
        .join(categories, on="category")
    )
    append_rows(connection, item_category, links.select("item_version_id", "category_id"))
