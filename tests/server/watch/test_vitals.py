"""/healthz and /readyz in each state that a server can be in."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from penchant.errors import PenchantError
from sqlalchemy import text

from graph.storage.changes import Change, Tidings
from graph.storage.database import Database
from graph.storage.errors import NotFoundError
from server.watch import vitals

if TYPE_CHECKING:
    from server.app import App
    from tests.server.conftest import Running, World
    from tests.server.watch.conftest import Watched

AskedOf = Callable[["App", str], tuple[int, dict[str, str]]]
ALIVE = {"event loop": "ok", "batches": "ok", "events": "ok", "changes": "ok", "users": "ok"}
READY = {"model": "ok", "store": "ok", "server": "ok"}


def test_all_is_well(watched: "Watched", asked_of: AskedOf) -> None:
    assert asked_of(watched.app, "/healthz") == (200, ALIVE)
    assert asked_of(watched.app, "/readyz") == (200, READY)
    assert watched.get("/nowhere")[0] == 404


def test_a_loop_that_is_stuck_is_not_alive(
    watched: "Watched", asked_of: AskedOf, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr(vitals, "LOOP_S", 0.2)
    stuck = threading.Event()
    watched.app._loop._loop.call_soon_threadsafe(stuck.wait, 30)
    try:
        status, said = asked_of(watched.app, "/healthz")
    finally:
        stuck.set()
    assert (status, said["event loop"]) == (503, "did not answer within 0.2 s")
    assert asked_of(watched.app, "/readyz")[0] == 200  # that is the other question
    eventually(lambda: asked_of(watched.app, "/healthz")[0] == 200)


def test_a_store_that_does_not_answer_is_told_and_the_server_goes_on(
    watched: "Watched", asked_of: AskedOf, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    """Nobody waits for it: a probe's patience may be a second."""
    back = threading.Event()

    def hang(tidings: Tidings) -> list[Change]:
        assert back.wait(30)
        return []

    monkeypatch.setattr(vitals, "STORE_S", 0.5)
    monkeypatch.setattr(Tidings, "poll", hang)
    try:
        eventually(lambda: "has not answered for" in asked_of(watched.app, "/readyz")[1]["store"])
        assert asked_of(watched.app, "/readyz")[0] == 200  # other servers would not be answered either
        assert asked_of(watched.app, "/healthz") == (200, ALIVE)  # starting it anew would not help
    finally:
        back.set()
    eventually(lambda: asked_of(watched.app, "/readyz") == (200, READY))


@pytest.mark.postgres
def test_a_server_whose_store_went_away_says_so_and_goes_on_answering(
    served_by_postgresql: Any, postgresql_server: str, asked_of: AskedOf, eventually: Any
) -> None:
    import psycopg
    from sqlalchemy import make_url

    from server.app import start

    world = served_by_postgresql.world
    app = start(world.settings().model_copy(update={"metrics_listen": "127.0.0.1:0"}))
    name = make_url(world.url).database
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        try:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
            admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
            eventually(lambda: "has not answered for" in asked_of(app, "/readyz")[1]["store"])
            assert asked_of(app, "/readyz")[0] == 200
            assert asked_of(app, "/healthz") == (200, ALIVE)
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    eventually(lambda: asked_of(app, "/readyz") == (200, READY))
    app.stop(0)


def test_without_a_model_it_lives_and_is_not_ready_until_one_is_active(
    world: "World", run: "Callable[..., Running]", asked_of: AskedOf, eventually: Any
) -> None:
    database = Database(world.url)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM activation"))
    database.close()
    running = run(metrics_listen="127.0.0.1:0")
    assert asked_of(running.app, "/healthz") == (200, ALIVE)
    status, said = asked_of(running.app, "/readyz")
    assert status == 503
    assert "penchant train" in said["model"]
    running.client.activate_model("m1.1", force=True, reason="a test")
    eventually(lambda: asked_of(running.app, "/readyz") == (200, READY))


def test_while_it_stops_it_lives_and_is_not_ready_and_a_dead_thread_is_told(
    run: "Callable[..., Running]", asked_of: AskedOf, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    running = run(metrics_listen="127.0.0.1:0")
    entered, released = threading.Event(), threading.Event()

    def slow(*arguments: Any, **named: Any) -> Any:
        entered.set()
        assert released.wait(30)
        raise NotFoundError("There is nothing.")

    monkeypatch.setattr("server.engine.Engine.interests", slow)

    def ask() -> None:
        with pytest.raises(PenchantError):
            running.client.get_interests("u1")

    caller = threading.Thread(target=ask)
    caller.start()
    assert entered.wait(30)
    stopper = threading.Thread(target=lambda: running.app.stop(30))
    stopper.start()
    try:
        eventually(lambda: asked_of(running.app, "/readyz")[1]["server"] == "is stopping")
        assert asked_of(running.app, "/readyz")[0] == 503
        assert asked_of(running.app, "/healthz") == (200, ALIVE)
        running.app._batches.stop()
        assert asked_of(running.app, "/healthz") == (503, ALIVE | {"batches": "ended"})
    finally:
        released.set()
        caller.join(30)
        stopper.join(30)
