"""Stubs: items that events named before the catalog did."""

import polars as pl
from sqlalchemy import Connection, func, select

from graph.storage.bulk import append_rows, listed
from graph.storage.externals import create_missing
from graph.storage.tables import item, item_category, item_version


def create_stubs(connection: Connection, events: pl.DataFrame, recorded_at: int) -> list[str]:
    """Makes every item of `events` (columns `item`, `occurred_at`) exist from its earliest event on; returns new ones.

    An unknown item gets a version without a name. A stub of an earlier batch whose first event turns out to lie before
    it gets a second version; what the catalog says of an item is left alone.
    """
    earliest = events.group_by("item").agg(pl.col("occurred_at").min())
    first = dict(earliest.iter_rows())
    create_missing(connection, item, earliest["item"], recorded_at)
    wanted = listed(connection, first)
    version = item_version.c
    rows = connection.execute(
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
    )
    known = rows.all()
    stubs = [
        (number, first[external], recorded_at, True, False, since is None)
        for external, number, since, said in known
        if since is None or (not said and first[external] < since)
    ]
    columns = ["item_id", "valid_from", "recorded_at", "available", "deleted", "is_current"]
    append_rows(connection, item_version, pl.DataFrame(stubs, schema=columns, orient="row"))
    return [external for external, _, since, _ in known if since is None]
