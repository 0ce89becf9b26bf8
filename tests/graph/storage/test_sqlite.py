"""Why reading does not go through a second copy of SQLite, and that ours keeps its locks."""

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from graph.storage.database import Database
from graph.storage.errors import BadInputError, StoreUnavailableError
from graph.storage.tables import event_kind

OTHER_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.1, isolation_level=None)
try:
    connection.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError:
    sys.exit(3)
"""


def test_reading_keeps_the_locks_of_a_writer_in_the_same_process(sqlite_database: Database) -> None:
    path = str(sqlite_database.url.database)
    with sqlite_database.begin() as connection:
        connection.execute(text("UPDATE event_kind SET weight = 9 WHERE name = 'view'"))
        table = sqlite_database.read(select(event_kind.c.weight).where(event_kind.c.name == "view"))
        assert table["weight"].to_pylist() == [0.2]  # what is committed
        other = subprocess.run([sys.executable, "-c", OTHER_WRITER, path])
    assert other.returncode == 3
    assert Path(f"{path}-wal").exists()


def test_an_acknowledged_write_is_durable(sqlite_database: Database) -> None:
    with sqlite_database.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        foreign_keys = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL
    assert foreign_keys == 1


def test_foreign_keys_are_unchecked_within_a_resolved_transaction_alone(sqlite_database: Database) -> None:
    dangling = "INSERT INTO item_category (item_version_id, category_id) VALUES (77, 78)"
    with sqlite_database.begin(resolved=True) as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 0
    with pytest.raises(RuntimeError), sqlite_database.begin(resolved=True):
        raise RuntimeError
    with pytest.raises(IntegrityError), sqlite_database.begin() as connection:
        connection.exec_driver_sql(dangling)


def test_a_store_in_memory_is_refused() -> None:
    for url in ("sqlite://", "sqlite:///:memory:"):
        with pytest.raises(BadInputError, match="cannot live in memory"):
            Database(url)


def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"not a database" * 100)
    with pytest.raises(StoreUnavailableError, match="not a database"):
        Database(f"sqlite:///{tmp_path}/x.db").schema_revision()
