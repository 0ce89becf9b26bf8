"""Large tables are read by other processes on SQLite; what comes out is what Python's own sqlite3 reads."""

import os
from pathlib import Path

import pyarrow as pa
import pytest
from sqlalchemy import select, text

from graph.event_columns import event_columns, read_columns
from graph.storage import scan as module
from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.errors import StoreUnavailableError
from graph.storage.events import append_events
from graph.storage.scan import scan
from graph.storage.tables import interaction, item_version


def fill(database: Database, n: int = 50) -> None:
    """Values and sessions are null in all rows but the last, and a session is no number."""
    rows = [{"user": f"u{k % 7}", "item": f"i{k % 5}", "kind": "view", "occurred_at": k} for k in range(n - 1)]
    last = {"user": "u", "item": "i'%", "kind": "rating", "value": 2.5, "session_key": "søn", "sequence": 3}
    append_events(database, table_of(EVENTS, [*rows, {**last, "occurred_at": n}]), source="s", unknown_items="create")


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes however few the rows."""
    monkeypatch.setattr(module, "MANY", 0)


@pytest.mark.usefixtures("readers")
def test_other_processes_read_the_same(database: Database) -> None:
    fill(database)
    statement = event_columns().where(interaction.c.kind_id.in_([1, 4]))
    table = pa.Table.from_batches(scan(database, statement, interaction.c.id, lambda batch: batch))
    assert table.sort_by("id").equals(database.read(statement.order_by(interaction.c.id)).combine_chunks())
    assert table.num_rows == 50
    columns = read_columns(database, statement)
    assert [(name, str(column.dtype)) for name, column in columns.items()][:3] == [
        ("user", "int32"),
        ("item", "int32"),
        ("kind", "int16"),
    ]


@pytest.mark.usefixtures("readers")
def test_flags_come_out_as_flags_and_nothing_as_nothing(sqlite_database: Database) -> None:
    statement = select(item_version.c.id, item_version.c.available, item_version.c.name)
    assert scan(sqlite_database, statement, item_version.c.id, lambda batch: batch) == []
    fill(sqlite_database)
    table = pa.Table.from_batches(scan(sqlite_database, statement, item_version.c.id, lambda batch: batch))
    assert table.schema.field("available").type == pa.bool_()
    assert set(table["available"].to_pylist()) == {True}
    assert table["name"].null_count == table.num_rows > 0


@pytest.mark.usefixtures("readers")
def test_rows_written_meanwhile_are_left_out(sqlite_database: Database) -> None:
    fill(sqlite_database)
    seen: list[int] = []

    def convert(batch: pa.RecordBatch) -> int:
        if not seen:
            seen.append(1)
            append_events(
                sqlite_database,
                table_of(EVENTS, [{"user": "n", "item": "n", "kind": "view", "occurred_at": 99}]),
                source="late",
                unknown_items="create",
            )
        return len(batch)

    assert sum(scan(sqlite_database, select(interaction.c.id), interaction.c.id, convert)) == 50


@pytest.mark.usefixtures("readers")
def test_a_reader_that_cannot_go_on_is_named_with_its_reason(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(sqlite_database)
    broken = select(interaction.c.id).where(text("no_such_function(1)"))
    with pytest.raises(StoreUnavailableError, match="no_such_function"):
        scan(sqlite_database, broken, interaction.c.id, len)

    killer = tmp_path / "python"  # ends in the middle, without a word
    killer.write_text("#!/bin/sh\nexit 9\n")
    os.chmod(killer, 0o755)
    monkeypatch.setattr("graph.storage.scan.sys.executable", str(killer))
    with pytest.raises(StoreUnavailableError, match="exit code 9"):
        scan(sqlite_database, select(interaction.c.id), interaction.c.id, len)


@pytest.mark.usefixtures("readers")
def test_a_value_that_does_not_fit_ends_the_reading(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much the other process still has to say."""
    monkeypatch.setattr(module, "READERS", 1)
    fill(sqlite_database)
    rows = "SELECT event_id || n.i, user_id, item_id, kind_id, occurred_at, recorded_at FROM interaction, n"
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)"
    names = "event_id, user_id, item_id, kind_id, occurred_at, recorded_at"
    with sqlite_database.begin() as connection:
        connection.execute(text("UPDATE interaction SET value = 'text' WHERE id = 2"))
        connection.execute(text(f"INSERT INTO interaction ({names}) {numbers} {rows}"))
    with pytest.raises(StoreUnavailableError, match="does not fit its column"):
        read_columns(sqlite_database, event_columns())
