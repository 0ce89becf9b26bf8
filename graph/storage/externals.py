"""External ids to surrogate ids."""

from collections.abc import Mapping

import polars as pl
from sqlalchemy import Connection, Table, exists, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from graph.storage.bulk import listed, plain_rows


def resolve(connection: Connection, table: Table, externals: pl.Series) -> dict[str, int]:
    """The surrogate ids of those among `externals` that the table has."""
    wanted = listed(connection, externals.drop_nulls().unique().sort().to_list())  # neighbours in the index in turn
    query = select(table.c.external_id, table.c.id).join(wanted, wanted.c.value == table.c.external_id)
    return dict(plain_rows(connection, query))


def ids_of(externals: pl.Series, ids: Mapping[str, int], name: str) -> pl.Series:
    """`externals` as surrogate ids in a column `name`, null where unknown."""
    known = pl.Series(ids.keys(), dtype=pl.String)
    numbers = pl.Series(ids.values(), dtype=pl.Int64)
    return externals.replace_strict(known, numbers, default=None, return_dtype=pl.Int64).alias(name)


def create_missing(connection: Connection, table: Table, externals: pl.Series, recorded_at: int) -> None:
    """Adds a row for each of `externals` that has none; sorted, so that two writers wait and do not deadlock."""
    wanted = listed(connection, externals.unique().sort().to_list())
    new = select(wanted.c.value, literal(recorded_at)).where(~exists().where(table.c.external_id == wanted.c.value))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).from_select(["external_id", "recorded_at"], new).on_conflict_do_nothing())
