"""What the shop calls the items of rows that were read."""

from collections.abc import Iterable

from sqlalchemy import select

from graph.storage.database import Database
from graph.storage.tables import item


def item_names(database: Database, item_ids: Iterable[int]) -> list[str]:
    with database.connect() as connection:
        rows = connection.execute(select(item.c.id, item.c.external_id)).all()
    names = {row.id: row.external_id for row in rows}
    return [names[each] for each in item_ids]
