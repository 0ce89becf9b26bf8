"""External ids to surrogate ids."""

import json
from collections.abc import Mapping

import polars as pl
from sqlalchemy import Connection, Table, exists, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from graph.storage.bulk import listed


def resolve(connection: Connection, table: Table, externals: pl.Series) -> dict[str, int]:
    """The surrogate ids of those among `externals` that the table has."""
    wanted = externals.drop_nulls().unique().sort().to_list()  # neighbours in the index, one after the other
    quote = connection.dialect.identifier_preparer.quote
    parameter: str | list[str] = wanted
    among = "= ANY(%s)"
    if connection.dialect.name == "sqlite":
        among, parameter = "IN (SELECT value FROM json_each(?))", json.dumps(wanted)
    cursor = connection.connection.cursor()  # its plain tuples: making SQLAlchemy's rows takes longer than the look-up
    try:
        cursor.execute(f"SELECT external_id, id FROM {quote(table.name)} WHERE external_id {among}", (parameter,))  # noqa: S608
        return dict(cursor.fetchall())
    finally:
        cursor.close()


def ids_of(externals: pl.Series, ids: Mapping[str, int], name: str) -> pl.Series:
    """`externals` as surrogate ids in a column `name`, null where unknown."""
    return pl.Series(name, [ids.get(external) for external in externals.to_list()], pl.Int64)


def create_missing(connection: Connection, table: Table, externals: pl.Series, recorded_at: int) -> None:
    """Adds a row for each of `externals` that has none; sorted, so that two writers wait and do not deadlock."""
    wanted = listed(connection, externals.unique().sort().to_list())
    new = select(wanted.c.value, literal(recorded_at)).where(~exists().where(table.c.external_id == wanted.c.value))
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    connection.execute(insert(table).from_select(["external_id", "recorded_at"], new).on_conflict_do_nothing())
