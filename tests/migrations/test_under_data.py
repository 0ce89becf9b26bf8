"""A later revision on a store that is full and in use: nothing is lost on the way up or down, and nobody waits long."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config
from sqlalchemy import inspect, text

from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.errors import StoreUnavailableError
from graph.storage.events import append_events
from migrations import commands
from migrations.commands import downgrade, known_revisions, upgrade

NEXT = "9000"
SCRIPT = '''
"""What a later version might need: a column, filled in, and an index over a big table."""

import sqlalchemy as sa
from alembic import op

from migrations.operations import create_index, drop_index

revision = "9000"
down_revision = "{below}"


def upgrade() -> None:
    op.add_column("interaction", sa.Column("channel", sa.Text()))
    op.execute("UPDATE interaction SET channel = 'web'")
    create_index("ix_interaction_channel", "interaction", ["channel", "recorded_at"])


def downgrade() -> None:
    drop_index("ix_interaction_channel", "interaction")
    op.drop_column("interaction", "channel")
'''


def with_those_in(folder: Path) -> Callable[[Database | None], Config]:
    original = commands.config

    def config(database: Database | None = None) -> Config:
        made = original(database)
        own = f"{made.get_main_option('script_location')}/versions"
        made.set_main_option("version_locations", f"{own} {folder}")
        made.set_main_option("path_separator", "space")
        return made

    return config


@pytest.fixture
def next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As if this version of penchant had one revision more, which lies in the folder."""
    (tmp_path / "9000_next.py").write_text(SCRIPT.format(below=known_revisions()[-1]))
    monkeypatch.setattr(commands, "config", with_those_in(tmp_path))
    known_revisions.cache_clear()
    yield tmp_path
    monkeypatch.undo()
    known_revisions.cache_clear()


def fill(database: Database, n: int = 500) -> None:
    rows = [
        {
            "event_id": f"e{i}",
            "user": f"u{i % 17}",
            "item": f"i{i % 31}",
            "kind": "rating",
            "value": i / 7,
            "context": '{"page": "é"}' if i % 3 else None,
            "occurred_at": 1_000_000 * i,
        }
        for i in range(n)
    ]
    append_events(database, table_of(EVENTS, rows), source="test", unknown_items="create", recorded_at=10**15)


def content(database: Database) -> list[tuple[Any, ...]]:
    names = "id, event_id, user_id, item_id, kind_id, value, context, occurred_at, recorded_at"
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {names} FROM interaction ORDER BY id"))]


def indexes(database: Database) -> set[str | None]:
    with database.connect() as connection:
        return {index["name"] for index in inspect(connection).get_indexes("interaction")}


@pytest.mark.usefixtures("next_revision")
def test_up_and_down_again_loses_nothing(database: Database) -> None:
    fill(database)
    before, names = content(database), indexes(database)
    upgrade(database)
    assert database.schema_revision() == NEXT
    assert indexes(database) == names | {"ix_interaction_channel"}
    assert content(database) == before
    downgrade(database, "-1")
    assert database.schema_revision() == known_revisions()[-2]
    assert indexes(database) == names
    assert content(database) == before


@pytest.mark.postgres
@pytest.mark.usefixtures("next_revision")
def test_events_are_written_while_an_index_grows(postgresql_database: Database) -> None:
    """A transaction that is open makes the build wait, not those who come after it."""
    database = postgresql_database
    fill(database)
    upgrading = threading.Thread(target=upgrade, args=(database,))
    waits = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"
    holder = Database(database.url)
    with holder.connect() as other:
        # It reads another table, so that it is in nobody's way but that of the build, which waits for its snapshot.
        other.execution_options(isolation_level="REPEATABLE READ").execute(text("SELECT * FROM event_kind"))
        upgrading.start()
        with database.connect() as watching:
            while not watching.execute(text(waits)).scalar():
                assert upgrading.is_alive()
                watching.rollback()
        rows = [{"event_id": "meanwhile", "user": "u0", "item": "i0", "kind": "view", "occurred_at": 5}]
        append_events(database, table_of(EVENTS, rows), source="test")
        assert upgrading.is_alive()
    upgrading.join(timeout=30)
    assert not upgrading.is_alive()
    holder.close()
    assert len(content(database)) == 501
    assert "ix_interaction_channel" in indexes(database)
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM interaction WHERE channel = 'web'")).scalar() == 500
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_interaction_channel'::regclass"
        assert connection.execute(text(valid)).scalar()


@pytest.mark.postgres
def test_two_upgrades_at_once_take_turns(postgresql_database: Database, next_revision: Path) -> None:
    """The one that waits does not hold up the other's index, which waits for whoever holds a snapshot."""
    fill(postgresql_database)
    url = postgresql_database.url.render_as_string(hide_password=False)
    both = [subprocess.Popen([sys.executable, __file__, url, next_revision]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert postgresql_database.schema_revision() == NEXT
    assert len(content(postgresql_database)) == 500


@pytest.mark.postgres
@pytest.mark.usefixtures("next_revision")
def test_an_index_that_an_interrupted_build_left_is_built_anew(postgresql_database: Database) -> None:
    database = postgresql_database
    fill(database)
    upgrade(database)
    with database.begin() as connection:  # what is left when the build is killed: the index, marked invalid
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": known_revisions()[-2]})
        connection.execute(text("ALTER TABLE interaction DROP COLUMN channel CASCADE"))
        connection.execute(text("CREATE INDEX ix_interaction_channel ON interaction (recorded_at)"))
        invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'ix_interaction_channel'::regclass"
        connection.execute(text(invalid))
    upgrade(database)
    with database.connect() as connection:
        valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_interaction_channel'::regclass"
        assert connection.execute(text(valid)).scalar()


@pytest.mark.postgres
@pytest.mark.usefixtures("next_revision")
def test_a_statement_that_cannot_have_its_lock_gives_up(
    postgresql_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrations.operations.LOCK_TIMEOUT", "200ms")
    database = postgresql_database
    fill(database)
    before = content(database)
    holder = Database(database.url)
    with holder.connect() as other:
        other.execute(text("LOCK TABLE interaction IN ACCESS SHARE MODE"))  # as a long query does
        with pytest.raises(StoreUnavailableError, match="lock timeout"):
            upgrade(database)
    holder.close()
    assert database.schema_revision() == known_revisions()[-2]
    assert content(database) == before
    upgrade(database)  # run again, it goes through
    assert database.schema_revision() == NEXT


if __name__ == "__main__":  # an upgrade in a process of its own
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "config", with_those_in(Path(sys.argv[2])))
        upgrade(Database(sys.argv[1]))
