"""A revision on a store that is full: how long it takes up and down, and that no row is lost.

    python -m benchmarks.migrations --rows 5000000 --engine sqlite
    python -m benchmarks.migrations --rows 5000000 --engine postgresql

The revision adds a column and builds an index over all events. On PostgreSQL events are written beside it meanwhile,
and the slowest of these writes is told: readers and writers must not stand still.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic.config import Config
from sqlalchemy import text

from benchmarks.postgresql import postgresql_url
from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from migrations import commands

USERS, ITEMS = 200_000, 50_000
SCRIPT = '''
"""A column and an index over all events."""

import sqlalchemy as sa
from alembic import op

from migrations.operations import create_index, drop_index

revision = "9000"
down_revision = "{below}"


def upgrade() -> None:
    op.add_column("interaction", sa.Column("channel", sa.Text()))
    create_index("ix_interaction_channel", "interaction", ["channel", "recorded_at"])


def downgrade() -> None:
    drop_index("ix_interaction_channel", "interaction")
    op.drop_column("interaction", "channel")
'''


def fill(database: Database, rows: int) -> None:
    """`rows` events, written by the database itself."""
    numbers = (
        "WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < {n}) {insert} FROM number"
        if database.is_sqlite
        else "{insert} FROM generate_series(1::bigint, {n}) AS number(i)"
    )
    with database.begin() as connection:
        for table, n in (("user", USERS), ("item", ITEMS)):
            insert = f"""INSERT INTO "{table}" (external_id, recorded_at) SELECT '{table}-' || i, 1"""
            connection.execute(text(_ordered(numbers, insert, n, database.is_sqlite)))
        insert = (
            "INSERT INTO interaction (event_id, user_id, item_id, kind_id, value, occurred_at, recorded_at)"
            f" SELECT 'event-' || i, 1 + (i * 7919) % {USERS}, 1 + (i * 104729) % {ITEMS}, 1, i * 0.25, i * 1000000, 1"
        )
        connection.execute(text(_ordered(numbers, insert, rows, database.is_sqlite)))


def _ordered(numbers: str, insert: str, n: int, is_sqlite: bool) -> str:
    """SQLite wants WITH behind INSERT INTO … ( … )."""
    if not is_sqlite:
        return numbers.format(insert=insert, n=n)
    into, select = insert.split(" SELECT ", 1)
    return f"{into} {numbers.format(insert='SELECT ' + select, n=n)}"


def content(database: Database) -> tuple[Any, ...]:
    """Count and sums over all that the rows hold, the events written meanwhile aside."""
    # The remainder: SQLite's sums are of 64 bits.
    numbers = ("id", "user_id", "item_id", "value", "occurred_at % 1000003", "length(event_id)")
    sums = ", ".join(["count(*)", *(f"sum({number})" for number in numbers)])
    with database.connect() as connection:
        row = connection.execute(text(f"SELECT {sums} FROM interaction WHERE recorded_at = 1")).one()
    return tuple(row)


@contextmanager
def one_more_revision() -> Iterator[None]:
    original = commands.config
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "9000_next.py").write_text(SCRIPT.format(below=commands.known_revisions()[-1]))

        def config(database: Database | None = None) -> Config:
            made = original(database)
            made.set_main_option("version_locations", f"{made.get_main_option('script_location')}/versions {folder}")
            made.set_main_option("path_separator", "space")
            return made

        commands.config = config
        commands.known_revisions.cache_clear()
        try:
            yield
        finally:
            commands.config = original
            commands.known_revisions.cache_clear()


class Writer:
    """Records an event every few milliseconds until told to stop; remembers the slowest."""

    def __init__(self, database: Database) -> None:
        self._database, self._stop = database, threading.Event()
        self.written, self.slowest_s = 0, 0.0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(0.01):
            at = time.perf_counter()
            event = {"user": "user-1", "item": "item-1", "kind": "view", "occurred_at": time.time_ns() // 1000}
            append_events(self._database, table_of(EVENTS, [event]), source="benchmark")
            self.slowest_s = max(self.slowest_s, time.perf_counter() - at)
            self.written += 1


def timed(name: str, work: Callable[[], None], database: Database) -> None:
    begun = time.perf_counter()
    if database.is_sqlite:
        work()
        print(f"{name}: {time.perf_counter() - begun:.1f} s", flush=True)
        return
    with Writer(database) as writer:
        work()
    seconds = time.perf_counter() - begun
    print(f"{name}: {seconds:.1f} s; {writer.written} events written meanwhile, the slowest {writer.slowest_s:.2f} s")


def measure(database: Database, rows: int) -> None:
    commands.upgrade(database)
    begun = time.perf_counter()
    fill(database, rows)
    print(f"{rows:,} events filled in: {time.perf_counter() - begun:.1f} s", flush=True)
    before = content(database)
    with one_more_revision():
        timed("upgrade", lambda: commands.upgrade(database), database)
        assert content(database) == before, "the upgrade changed rows"
        timed("downgrade", lambda: commands.downgrade(database, "-1"), database)
    assert content(database) == before, "the downgrade changed rows"
    print(f"all {before[0]:,} rows as before")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.migrations", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--engine", choices=("sqlite", "postgresql"), default="sqlite")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.engine == "sqlite":
            measure(Database(f"sqlite:///{folder}/penchant.db"), arguments.rows)
            return
        with postgresql_url() as url:
            measure(Database(url), arguments.rows)


if __name__ == "__main__":
    main()
