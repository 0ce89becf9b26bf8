"""External ids to surrogate ids."""

import polars as pl
from sqlalchemy import Connection, Table, exists, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from graph.storage.bulk import listed


def resolve(connection: Connection, table: Table, externals: pl.Series, id_name: str) -> pl.DataFrame:
    """The known ones among `externals`: columns `externals.name` and `id_name`."""
    wanted = listed(connection, externals.drop_nulls().unique().to_list())
    rows = connection.execute(
        select(table.c.external_id, table.c.id).join(wanted, wanted.c.value == table.c.external_id)
    ).all()
    names, ids = zip(*rows, strict=True) if rows else ((), ())
    return pl.DataFrame({externals.name: pl.Series(names, dtype=pl.String), id_name: pl.Series(ids, dtype=pl.Int64)})


def create_missing(connection: Connection, table: Table, externals: pl.Series, recorded_at: int) -> None:
    """Adds a row for each of `externals` that has none; sorted, so that two writers wait and do not deadlock."""
    wanted = listed(connection, externals.unique().sort().to_list())
    new = select(wanted.c.value, literal(recorded_at)).where(~exists().where(table.c.external_id == wanted.c.value))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).from_select(["external_id", "recorded_at"], new).on_conflict_do_nothing())
