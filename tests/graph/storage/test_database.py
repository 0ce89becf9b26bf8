from sqlalchemy import select

from graph.storage.database import Database
from graph.storage.kinds import load_kinds
from graph.storage.tables import event_kind


def test_columns_come_with_their_types(database: Database) -> None:
    columns = event_kind.c
    table = database.read(select(columns.id, columns.name, columns.half_life_days).order_by(columns.id))
    assert table.schema.types == ["int64", "string", "double"]
    assert table["name"].to_pylist() == [kind.name for kind in load_kinds(database)]


def test_a_fresh_store_can_be_run_on(database: Database) -> None:
    database.require_schema()
    assert database.schema_revision() == "0001"
