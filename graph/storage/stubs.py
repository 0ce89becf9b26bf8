"""Stubs: items that events named before the catalog did."""

import polars as pl
from sqlalchemy import Connection, func, select

from graph.storage.bulk import append_rows, listed
from graph.storage.externals import create_missing
from graph.storage.tables import item, item_category, item_version


def create_stubs(connection: Connection, events: pl.DataFrame, recorded_at: int) -> None:
    """Makes every item of `events` (columns `item`, `occurred_at`) exist from its earliest event on.

    An unknown item gets a version without a name. A stub of an earlier batch whose first event turns out to lie before
    it gets a second version; what the catalog says of an item is left alone.
    """
    first = events.group_by("item").agg(pl.col("occurred_at").min().alias("valid_from"))
    create_missing(connection, item, first["item"], recorded_at)
    wanted = listed(connection, first["item"].to_list())
    version = item_version.c
    known = connection.execute(
        select(
            item.c.external_id,
            item.c.id,
            func.min(version.valid_from),
            # A version that says anything, or that was taken back, is the catalog's.
            func.count(version.name) + func.count(version.attributes) + func.count(item_category.c.category_id),
        )
        .join(wanted, wanted.c.value == item.c.external_id)
        .outerjoin(item_version, version.item_id == item.c.id)
        .outerjoin(item_category, item_category.c.item_version_id == version.id)
        .group_by(item.c.id, item.c.external_id)
    ).all()
    schema = {"item": pl.String, "item_id": pl.Int64, "since": pl.Int64, "said": pl.Int64}
    found = pl.DataFrame([tuple(row) for row in known], schema=schema, orient="row")
    new = first.join(found, on="item").filter(
        pl.col("since").is_null() | ((pl.col("said") == 0) & (pl.col("valid_from") < pl.col("since")))
    )
    stubs = new.select(
        "item_id",
        "valid_from",
        pl.lit(recorded_at).alias("recorded_at"),
        pl.lit(True).alias("available"),
        pl.lit(False).alias("deleted"),
        pl.col("since").is_null().alias("is_current"),
    )
    append_rows(connection, item_version, stubs)
