"""Everybody writes at once, on both engines: streams, single calls, other servers, `penchant ingest` beside them."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pytest
from penchant import Event, Item, PenchantClient
from sqlalchemy import func, select

from graph.storage.check import check
from graph.storage.database import Database
from graph.storage.items import upsert_items
from graph.storage.settings import Settings
from graph.storage.tables import interaction
from server.app import start

ROOT = Path(__file__).parents[2]
BATCHES, ROWS, LINES = 20, 40, 20_000
MAPPING = """\
source = "test"

[events]
file = "events.csv"
event_id = "event"
user = "user"
item = "item"
kind = "view"
occurred_at = { column = "second", format = "unix_seconds" }
"""


def events(name: str, batch: int) -> list[Event]:
    """Users and items that all writers share, so that they wait for each other's rows as well."""
    return [
        Event(event_id=f"{name}-{batch}-{row}", user=f"u{(batch + row) % 50}", item=f"i{row % 5}", kind="view")
        for row in range(ROWS)
    ]


def streams(client: PenchantClient, name: str) -> int:
    answers = client.stream_events(events(name, batch) for batch in range(BATCHES))
    return sum(answer.accepted for answer in answers)


def calls(client: PenchantClient, name: str) -> int:
    accepted = 0
    for batch in range(BATCHES):
        accepted += sum(row.reason == "" for row in client.record_events(events(name, batch)).outcomes)
        client.upsert_items([Item(id=f"i{batch % 5}", name=f"{name} {batch}")])
    return accepted


@pytest.fixture
def ingest(tmp_path: Path, database_url: str) -> "Callable[[], subprocess.Popen[str]]":
    """Starts `penchant ingest` of LINES events in small transactions' company."""
    lines = [f"line-{n},u{n % 50},i{n % 5},{1_700_000_000 + n}" for n in range(LINES)]
    (tmp_path / "events.csv").write_text("\n".join(["event,user,item,second", *lines]))
    (tmp_path / "shop.toml").write_text(MAPPING)

    def begin() -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "server", "ingest", str(tmp_path / "shop.toml"), "--database", database_url]
        return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)

    return begin


def test_nobody_meets_a_locked_database(
    database_url: str, database: Database, tmp_path: Path, ingest: "Callable[[], subprocess.Popen[str]]"
) -> None:
    upsert_items(database, pa.table({"item": [f"i{n}" for n in range(5)]}))
    loading = ingest()
    settings = Settings(database_url=database_url, artifacts=tmp_path, listen="127.0.0.1:0")
    with ExitStack() as stack:
        clients = []
        for app in (start(settings), start(settings)):  # each with connections and a writing thread of its own
            stack.callback(app.stop, 0)
            clients.append(PenchantClient(f"127.0.0.1:{app.port}", deadline_ms=50_000))
            stack.callback(clients[-1].close)
        pool = stack.enter_context(ThreadPoolExecutor())
        expected = LINES
        while expected == LINES or loading.poll() is None:  # for as long as the other process writes
            writers = [(write, client) for client in clients for write in (streams, streams, calls, calls)]
            jobs = [pool.submit(write, client, f"{expected}-{n}") for n, (write, client) in enumerate(writers)]
            assert [job.result() for job in jobs] == [BATCHES * ROWS] * len(writers)
            expected += BATCHES * ROWS * len(writers)
        message = loading.communicate()[1]
    assert loading.returncode == 0, message
    with database.connect() as connection:
        assert connection.execute(select(func.count()).select_from(interaction)).scalar() == expected
    assert check(database) == []
