"""How fast events become durable over one stream, beside a bare executemany of the same rows into the same table.

    python -m benchmarks.streaming [--events 400000] [--batch 1000] [--window 16]

A real server process over a fresh store, one client process, SQLite with synchronous=FULL. The bare loop writes the
same events, their ids already resolved, with Python's sqlite3 under the same settings, indexes and foreign keys, a
transaction a batch. Above 1 the server is faster than that, since it puts the batches that wait into one transaction.
`cpu_us_per_event` is server and client together: what a busy machine does not blur. `ack` counts from handing a batch
to the client to its acknowledgement; with 16 batches on their way (`--window`) most of it is waiting for one's turn.
"""

import argparse
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
from google.protobuf.timestamp_pb2 import Timestamp
from penchant import Event, PenchantClient
from sqlalchemy import func, select

from graph.storage.database import Database
from graph.storage.items import upsert_items
from graph.storage.sqlite import set_up
from graph.storage.tables import interaction
from migrations.commands import upgrade

ROOT = Path(__file__).parents[1]
USERS, ITEMS, START_S = 20_000, 5_000, 1_700_000_000
INSERT = """INSERT INTO interaction (event_id, user_id, item_id, kind_id, occurred_at, recorded_at)
            VALUES (?, ?, ?, ?, ?, ?)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--batch", type=int, default=1_000, help="events per batch, at most 1,000")
    parser.add_argument("--window", type=int, default=16, help="batches sent and not acknowledged, at most 16")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        batches = make_batches(arguments.events, arguments.batch)
        bare_s = write_bare(Path(folder) / "bare.db", batches)
        taken_s, cpu_s, waits_ms = stream(Path(folder) / "streamed.db", batches, arguments.window)
    n = sum(map(len, batches))
    p50, p99 = np.percentile(waits_ms, [50, 99])
    result = {
        "events": n,
        "events_per_batch": arguments.batch,
        "window_batches": arguments.window,
        "cores": os.cpu_count(),
        "streamed_events_per_s": round(n / taken_s),
        "bare_executemany_events_per_s": round(n / bare_s),
        "ratio_to_bare": round(bare_s / taken_s, 2),
        "cpu_us_per_event": round(1e6 * cpu_s / n, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "ack_p50_ms": round(float(p50), 1),
        "ack_p99_ms": round(float(p99), 1),
    }
    print(json.dumps(result, indent=2))


def make_batches(n: int, size: int) -> list[list[Event]]:
    """Events as a shop has them: users and items at random, in the order of time."""
    chance = random.Random(5)
    return [
        [
            Event(
                event_id=f"order-{number:08d}-{chance.randrange(10**6):06d}",
                user=f"user-{chance.randrange(USERS)}",
                item=f"item-{chance.randrange(ITEMS)}",
                kind="view",
                occurred_at=Timestamp(seconds=START_S + number // 50, nanos=number % 50 * 20_000_000),
            )
            for number in range(first, min(first + size, n))
        ]
        for first in range(0, n, size)
    ]


def new_store(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    upgrade(database)
    upsert_items(database, pa.table({"item": [f"item-{n}" for n in range(ITEMS)]}))
    return database


def write_bare(path: Path, batches: list[list[Event]]) -> float:
    """Seconds that SQLite itself takes for the same rows in the same transactions."""
    new_store(path).close()
    connection = sqlite3.connect(path)
    set_up(connection)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO user (id, external_id, recorded_at) VALUES (?, ?, 0)", [(n + 1, f"user-{n}") for n in range(USERS)]
    )
    connection.execute("COMMIT")
    rows = [[_resolved(event) for event in batch] for batch in batches]
    began = time.perf_counter()
    for batch in rows:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(INSERT, batch)
        connection.execute("COMMIT")
    taken_s = time.perf_counter() - began
    connection.close()
    return taken_s


def _resolved(event: Event) -> tuple[str, int, int, int, int, int]:
    user, item = (int(name.rsplit("-", 1)[1]) + 1 for name in (event.user, event.item))
    return event.event_id, user, item, 1, event.occurred_at.ToMicroseconds(), START_S * 1_000_000


def stream(path: Path, batches: list[list[Event]], window: int) -> tuple[float, float, list[float]]:
    """Seconds for all batches, of the clock and of server and client's processors, and each batch's milliseconds."""
    database = new_store(path)
    handed: list[float] = []

    def handing() -> Iterator[list[Event]]:
        for batch in batches:
            handed.append(time.perf_counter())
            yield batch

    server = subprocess.Popen(
        [sys.executable, "-m", "server", "serve", "--database", f"sqlite:///{path}", "--listen", "127.0.0.1:0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        target = server.stdout.readline().split()[-1]
        waits_ms = []
        with PenchantClient(target) as client:
            client.get_server_info()  # connects
            began, used = time.perf_counter(), cpu_seconds(server.pid)
            for answer in client.stream_events(handing(), max_unacknowledged=window):
                assert not answer.others, answer.others[0]
                waits_ms.append(1_000 * (time.perf_counter() - handed[answer.batch - 1]))
            taken_s, cpu_s = time.perf_counter() - began, cpu_seconds(server.pid) - used
    finally:
        server.terminate()
        server.wait(30)
    with database.connect() as connection:
        stored = connection.execute(select(func.count()).select_from(interaction)).scalar()
    database.close()
    assert stored == sum(map(len, batches)), "what was acknowledged is not what is stored"
    return taken_s, cpu_s, waits_ms


def cpu_seconds(server: int) -> float:
    """Of the server's process and of this one."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in (server, os.getpid()))


if __name__ == "__main__":
    main()
