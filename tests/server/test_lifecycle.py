"""From the first start without a model to the last call under SIGTERM."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from penchant.client import PenchantClient
from penchant.errors import CallCancelledError, DeadlineExceededError, UnavailableError
from penchant.v1 import embedding_pb2, embedding_pb2_grpc
from penchant.v1.common_pb2 import ENTITY_KIND_USER
from sqlalchemy import text
from typer.testing import CliRunner

from graph.histories import histories_from_arrays
from graph.storage.database import Database
from graph.storage.errors import BadInputError, SchemaError
from graph.storage.settings import Settings
from server.app import start
from server.cli import app
from server.revision import load_revision
from server.serving import serve_until

if TYPE_CHECKING:
    from tests.server.conftest import Running, World

Run = Callable[[], "Running"]
ROOT = Path(__file__).parents[2]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def health_of(target: str, service: str = "") -> int:
    with grpc.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        return int(stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30).status)


def forget_activations(world: "World") -> None:
    database = Database(world.url)
    with database.begin() as connection:
        connection.execute(text("DELETE FROM activation"))
    database.close()


def test_without_a_model_the_catalog_answers_and_the_first_activation_opens_the_rest(
    world: "World", run: Run, eventually: Any
) -> None:
    forget_activations(world)
    running = run()
    assert health_of(running.target) == health_of(running.target, "penchant.v1.InterestService") == NOT_SERVING
    assert health_of(running.target, "penchant.v1.CatalogService") == SERVING
    info = running.client.get_server_info()
    assert (info.model_version, info.vector_space, info.api) == ("", "", "penchant.v1")
    assert info.schema_revision
    assert running.client.get_item("i1").name == "Item 1"
    with PenchantClient(running.target, retries=0) as impatient, pytest.raises(UnavailableError) as caught:
        impatient.recommend("u1")
    assert caught.value.reason == "NO_MODEL"
    assert caught.value.retry_after_s
    assert "penchant train" in caught.value.message
    running.client.activate_model("m1.1", force=True, reason="a test")
    eventually(lambda: health_of(running.target) == SERVING)
    assert running.client.recommend("u1", 3).model_version == "m1.1"


def test_a_broken_first_model_is_told_to_who_asks(world: "World", run: Run) -> None:
    broken = world.artifacts / "m1.1" / "item_vectors.npy"
    data = bytearray(broken.read_bytes())
    data[-1] ^= 1
    broken.chmod(0o644)
    broken.write_bytes(bytes(data))
    running = run()
    assert health_of(running.target) == NOT_SERVING
    with PenchantClient(running.target, retries=0) as impatient, pytest.raises(UnavailableError, match="item_vectors"):
        impatient.recommend("u1")


def test_a_model_of_another_store_is_not_served(world: "World", run: Run) -> None:
    database = Database(world.url)
    with database.begin() as connection:
        connection.execute(text("UPDATE item SET external_id = 'i1 of another shop' WHERE external_id = 'i1'"))
    database.close()
    running = run()
    with PenchantClient(running.target, retries=0) as impatient, pytest.raises(UnavailableError, match="another store"):
        impatient.recommend("u1")


def test_an_empty_database_is_refused_naming_the_command(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="penchant db upgrade"):
        start(Settings(database_url=f"sqlite:///{tmp_path / 'empty.db'}", listen="127.0.0.1:0"))


def test_a_database_from_the_future_is_refused(world: "World") -> None:
    database = Database(world.url)
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_compatibility SET oldest_server_schema = '9999'"))
    database.close()
    with pytest.raises(SchemaError, match="newer penchant"):
        start(world.settings())


def test_the_command_ends_with_a_sentence(tmp_path: Path) -> None:
    arguments = ["serve", "--database", f"sqlite:///{tmp_path / 'empty.db'}", "--listen", "127.0.0.1:0"]
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    try:
        ended = CliRunner().invoke(app, arguments)
    finally:
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    assert ended.exit_code == 2
    assert "penchant db upgrade" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("listen", ["taken", "nonsense", "256.0.0.1:1"])
def test_an_address_that_cannot_be_bound_is_told(world: "World", run: Run, listen: str) -> None:
    address = run().target if listen == "taken" else listen
    with pytest.raises(BadInputError, match="listen"):
        start(world.settings().model_copy(update={"listen": address}))


def test_stopping_lets_a_call_finish_and_takes_no_new_one(
    run: Run, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run()
    entered, released = threading.Event(), threading.Event()
    original = type(running.app._models.current()).past

    def slow(*arguments: Any, **named: Any) -> Any:
        entered.set()
        assert released.wait(30)
        return original(*arguments, **named)

    monkeypatch.setattr("server.engine.Engine.past", slow)
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(running.client.recommend("u1", 3)))
    caller.start()
    assert entered.wait(30)
    stopper = threading.Thread(target=lambda: running.app.stop(30))
    stopper.start()
    with PenchantClient(running.target, retries=0, deadline_ms=1_000) as late:

        def is_refused() -> bool:
            try:
                late.get_server_info()
            except (UnavailableError, CallCancelledError):
                return True
            except DeadlineExceededError:
                pass  # it came in the very moment, and would be cancelled once the server has stopped
            return False

        eventually(is_refused)
    assert not answers
    released.set()
    caller.join(30)
    stopper.join(30)
    assert len(answers[0].items) == 3


def test_sigterm_lets_a_stream_finish_and_ends_with_zero(
    world: "World", serve: Callable[["World"], "tuple[subprocess.Popen[str], str]"]
) -> None:
    server, target = serve(world)
    database = Database(world.url)
    # Ids of 200 bytes, so that the export does not fit into the buffers between the two processes.
    import pyarrow as pa

    from graph.storage.events import append_events

    users = [f"{'x' * 200}-{n}" for n in range(12_000)]
    columns = {"user": users, "item": ["i1"] * len(users), "kind": ["view"] * len(users)}
    times = pa.array([1_600_000_000_000_000] * len(users), pa.int64())
    append_events(database, pa.table(columns | {"occurred_at": times}), source="test")
    database.close()
    with grpc.insecure_channel(target) as channel:
        stub = embedding_pb2_grpc.EmbeddingServiceStub(channel)
        stream = stub.ExportEmbeddings(embedding_pb2.ExportEmbeddingsRequest(kind=ENTITY_KIND_USER), timeout=60)
        ids = list(next(stream).ids)
        server.send_signal(signal.SIGTERM)
        for chunk in stream:
            ids += chunk.ids
    assert len(ids) == len(set(ids)) == 12_064
    assert server.wait(30) == 0


def test_two_servers_follow_one_store(world: "World", run: Run, eventually: Any) -> None:
    one, other = run(), run()
    one.client.activate_model("m1.2", force=True, reason="a test")
    eventually(lambda: other.client.get_server_info().model_version == "m1.2")


def test_a_follower_that_stumbles_loses_nothing(run: Run, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running = run()
    failures = iter([OSError("the disk is away"), RuntimeError("a bug")])
    original = running.app._models._load

    def load(path: Path) -> Any:
        for failure in failures:
            raise failure
        return original(path)

    monkeypatch.setattr(running.app._models, "_load", load)
    running.client.activate_model("m1.2", force=True, reason="a test")
    eventually(lambda: running.client.get_server_info().model_version == "m1.2")


def test_artifacts_that_are_not_there_are_told(world: "World", run: Run) -> None:
    shutil.rmtree(world.artifacts)
    running = run()
    with PenchantClient(running.target, retries=0) as impatient, pytest.raises(UnavailableError, match="manifest"):
        impatient.recommend("u1")


HANGS = """
import sys, threading, time
import server.engine, server.serving
from graph.storage.settings import Settings
from penchant.client import PenchantClient
from penchant.errors import DeadlineExceededError

asked = threading.Event()

def hangs(*arguments, **named):
    asked.set()
    time.sleep(600)

server.engine.recent_events = hangs
server.serving.BEYOND_GRACE_S = 0.5
ports = []

def until_asked():
    with PenchantClient(f"127.0.0.1:{ports[0]}", retries=0, deadline_ms=500) as client:
        while not asked.is_set():
            try:
                client.recommend("u1", 3)
            except DeadlineExceededError:
                pass

server.serving.serve_until(Settings(listen="127.0.0.1:0", grace_s=0.1), until_asked, ports.append)
"""


def test_a_store_that_hangs_does_not_keep_the_server_from_ending(world: "World") -> None:
    environment = os.environ | {"PENCHANT_DATABASE_URL": world.url, "PENCHANT_ARTIFACTS": str(world.artifacts)}
    ended = subprocess.run(
        [sys.executable, "-c", HANGS],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1
    assert "Does the store hang?" in ended.stderr


def test_what_is_there_from_the_start_is_not_looked_at_by_the_collector_again(
    world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full look takes a fifth of a second, in which nobody is answered."""
    monkeypatch.setattr("server.serving.set_up_logging", lambda level: None)
    seen: list[tuple[int, int]] = []
    try:
        serve_until(
            world.settings(), lambda: seen.append((gc.get_freeze_count(), len(gc.get_objects()))), lambda port: None
        )
    finally:
        gc.unfreeze()
    ((frozen, others),) = seen
    assert frozen > 50 * others


def test_a_revision_that_goes_needs_no_collector(world: "World") -> None:
    """Once frozen, a cycle would stay for ever."""
    path = next(path for path in sorted(world.artifacts.glob("m*.*")) if path.is_dir())
    gc.collect()
    gc.disable()
    try:
        revision = load_revision(path)
        revision.fast.answer(
            histories_from_arrays([0], [0], [0], n_items=len(revision.artifact.items)), np.zeros(1, int)
        )
        gone = [weakref.ref(each) for each in (revision, revision.artifact, revision.fast, revision.mixture.net.net)]
        del revision
        assert [each() for each in gone] == [None] * len(gone)
    finally:
        gc.enable()
