"""What was acknowledged is there after any crash, and what was sent again is there once."""

import random
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from penchant import Event, PenchantClient, PenchantError
from penchant.v1.event_pb2 import EVENT_STATUS_ACCEPTED, EVENT_STATUS_DUPLICATE
from sqlalchemy import select

from graph.storage.database import Database
from graph.storage.items import upsert_items
from graph.storage.tables import interaction
from tests.server.processes import free_address, start_server

PATIENCE_S = 60


class Sender:
    """Sends batches until told to stop, over one stream or call by call, and knows what was acknowledged."""

    def __init__(self, target: str, seed: int, *, streams: bool = True) -> None:
        self.sent: list[str] = []
        self.acknowledged: list[str] = []
        self.failure: BaseException | None = None
        self._target = target
        self._chance = random.Random(seed)
        self._streams = streams
        self._batches: list[list[str]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.failure is not None:
            raise self.failure

    def wait_for(self, acknowledged: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(self.acknowledged) < acknowledged:
            assert self._thread.is_alive(), self.failure
            assert time.monotonic() < deadline, f"{len(self.acknowledged)} of {acknowledged} events acknowledged"
            time.sleep(0.001)

    def _run(self) -> None:
        try:
            with PenchantClient(self._target) as client:
                if not self._streams:
                    self._call(client)
                    return
                for answer in client.stream_events(self._events(), patience_ms=1_000 * PATIENCE_S):
                    assert {row.outcome.status for row in answer.others} <= {EVENT_STATUS_DUPLICATE}
                    self.acknowledged += self._batches[answer.batch - 1]
        except BaseException as error:
            self.failure = error

    def _call(self, client: PenchantClient) -> None:
        for batch in self._events():
            deadline = time.monotonic() + PATIENCE_S
            while True:
                try:
                    answer = client.record_events(batch)
                except PenchantError:  # killed in the middle of it: what came of it is unknown, so it is sent again
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                else:
                    break
            assert {row.status for row in answer.outcomes} <= {EVENT_STATUS_ACCEPTED, EVENT_STATUS_DUPLICATE}
            self.acknowledged += self._batches[-1]

    def _events(self) -> Iterator[list[Event]]:
        while not self._stopping.is_set():
            first = len(self.sent)
            ids = [f"e{n}" for n in range(first, first + self._chance.randint(1, 200))]
            self._batches.append(ids)
            self.sent += ids
            now = Timestamp(seconds=int(time.time()))
            yield [
                Event(event_id=name, user=f"u{n % 300}", item=f"i{n % 7}", kind="view", occurred_at=now)
                for n, name in enumerate(ids)
            ]


def stored(database: Database) -> list[str]:
    with database.connect() as connection:
        return list(connection.execute(select(interaction.c.event_id)).scalars())


@pytest.mark.parametrize("streams", [True, False], ids=["stream", "calls"])
@pytest.mark.parametrize("rounds", [2, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3_600)])])
def test_kill_at_any_moment(database_url: str, database: Database, tmp_path: Path, rounds: int, streams: bool) -> None:
    upsert_items(database, pa.table({"item": [f"i{n}" for n in range(7)]}))
    chance = random.Random(rounds)
    address = free_address()
    server: BaseProcess = start_server(database_url, tmp_path, address)
    sender = Sender(address, rounds, streams=streams)
    try:
        for _ in range(rounds):
            sender.wait_for(len(sender.acknowledged) + chance.randint(1, 1_500))
            time.sleep(chance.uniform(0, 0.02))
            server.kill()
            server.join()
            known = set(sender.acknowledged)
            assert known <= set(stored(database)), "an acknowledged event is lost"
            server = start_server(database_url, tmp_path, address)
        sender.wait_for(len(sender.acknowledged) + 1)
        sender.stop()
    finally:
        server.kill()
        server.join()
    assert sender.acknowledged == sender.sent
    assert sorted(stored(database)) == sorted(sender.sent)


def test_sigterm_acknowledges_what_it_has_and_the_client_goes_on_with_the_next_server(
    sqlite_url: str, sqlite_database: Database, tmp_path: Path
) -> None:
    upsert_items(sqlite_database, pa.table({"item": [f"i{n}" for n in range(7)]}))
    address = free_address()
    server = start_server(sqlite_url, tmp_path, address)
    sender = Sender(address, seed=1)
    try:
        sender.wait_for(1_000)
        server.terminate()
        server.join(PATIENCE_S)
        assert server.exitcode == 0
        server = start_server(sqlite_url, tmp_path, address)
        sender.wait_for(len(sender.acknowledged) + 1)
        sender.stop()
    finally:
        server.kill()
        server.join()
    assert sorted(stored(sqlite_database)) == sorted(sender.sent)
