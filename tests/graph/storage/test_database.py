import psycopg
import pyarrow as pa
import pytest
from sqlalchemy import select

from graph.storage import postgresql
from graph.storage.database import Database
from graph.storage.errors import SchemaError, StoreUnavailableError
from graph.storage.kinds import load_kinds
from graph.storage.tables import event_kind


def test_columns_come_with_their_types(database: Database) -> None:
    columns = event_kind.c
    table = database.read(select(columns.id, columns.name, columns.half_life_days).order_by(columns.id))
    assert table.schema.types == ["int64", "string", "double"]
    assert table["name"].to_pylist() == [kind.name for kind in load_kinds(database)]


def test_a_fresh_store_can_be_run_on(database: Database) -> None:
    database.require_schema()
    assert database.schema_revision() == "0003"


def test_columns_of_a_server_that_is_away_are_explained() -> None:
    away = Database("postgresql://nobody@127.0.0.1:1/nothing")
    with pytest.raises(StoreUnavailableError, match="does not answer"):
        away.read(select(event_kind.c.id))


def test_columns_of_a_table_that_is_not_there_are_explained(database: Database) -> None:
    with pytest.raises(SchemaError, match="lacks a table"):
        database.read("SELECT id FROM nowhere", pa.schema([("id", pa.int64())]))


@pytest.mark.postgres
def test_a_server_that_goes_away_while_columns_are_read_is_explained(postgresql_url_fresh: str) -> None:
    database = Database(postgresql_url_fresh)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    schema = pa.schema([("i", pa.int64())])

    def read() -> None:
        query = "SELECT i FROM generate_series(1, 100000000) AS s (i)"
        with database.explained(), postgresql.stream(database.url, query, schema) as batches:
            next(batches)
            with psycopg.connect(postgresql.libpq_uri(database.url), autocommit=True) as connection:
                connection.execute(f"{others} AND datname = current_database()")
            for _ in batches:
                pass

    with pytest.raises(StoreUnavailableError, match="does not answer"):
        read()
