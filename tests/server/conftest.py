"""A small shop with planted tastes, a model trained on it once, and real servers over copies of both."""

import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from penchant.client import PenchantClient
from sqlalchemy import make_url

from graph.histories import Histories, histories_of
from graph.snapshot import take_snapshot
from graph.storage import registry
from graph.storage.categories import upsert_categories
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.settings import Settings
from graph.storage.times import DAY_US
from server.app import App, start
from server.logs import set_up_logging
from training.artifact import Artifact, load_artifact
from training.artifact_manifest import MANIFEST, read_manifest, write_manifest

ROOT = Path(__file__).parents[2]
GROUPS, USERS, ITEMS, DAYS = 4, 64, 60, 100
START_US = 1_600_000_000_000_000
NEW_ITEM, GONE_ITEM, EMPTY_CATEGORY = "newer-item", "i9", "c-empty"


@dataclass(frozen=True)
class World:
    """A store and the folder of its models: m1.1 serves, m1.2 is published, m1.3 is registered and broken."""

    url: str
    artifacts: Path

    def artifact(self, version: str) -> Artifact:
        return load_artifact(self.artifacts / version)

    def settings(self) -> Settings:
        return Settings(database_url=self.url, artifacts=self.artifacts, listen="127.0.0.1:0")


@dataclass(frozen=True)
class Served:
    """A world, a server over it, a client of the server, and the store behind its back."""

    world: World
    target: str
    client: PenchantClient
    database: Database


def fill(database: Database) -> None:
    """User u likes group u % GROUPS: item i lies in group i % GROUPS, whose category hangs below `c-all`."""
    names = ["c-all", *(f"c{g}" for g in range(GROUPS)), EMPTY_CATEGORY]
    parents = [None, *["c-all"] * GROUPS, None]
    upsert_categories(database, pa.table({"category": names, "name": [n.upper() for n in names], "parent": parents}))
    for i in range(ITEMS):  # one by one, so that every store gives them the same surrogate ids, as a model needs
        row = {"item": [f"i{i}"], "name": [f"Item {i}"], "categories": [[f"c{i % GROUPS}"]]}
        upsert_items(database, pa.table(row | {"available": [f"i{i}" != GONE_ITEM]}))
    random = np.random.default_rng(5)
    rows: list[tuple[str, str, str, int]] = []
    for user in range(USERS):
        for day in np.sort(random.choice(DAYS, size=random.integers(15, 30), replace=False)).tolist():
            of_group = random.integers(ITEMS // GROUPS) * GROUPS + user % GROUPS
            item = int(of_group if random.random() < 0.9 else random.integers(ITEMS))
            kind = "purchase" if random.random() < 0.7 else "view"
            rows.append((f"u{user}", f"i{item}", kind, START_US + day * DAY_US))
    users, chosen, kinds, times = zip(*rows, strict=True)
    columns = {"user": users, "item": chosen, "kind": kinds, "occurred_at": pa.array(times, pa.int64())}
    append_events(database, pa.table(columns), source="test")


def train_world(url: str, artifacts: Path) -> World:
    """Seconds of training: enough to have every part of a model, two interests a user among them."""
    from training.refresh import refresh
    from training.train_run import Options, train

    database = Database(url)
    fill(database)
    net = {"dim": 16, "epochs": 12, "max_history": 20, "interests": 2, "seed": 2}
    options = Options(holdout_days=10, validation_days=15, net=net, device="cpu", force=True)
    trained = train(database, artifacts, options)
    assert str(trained.version) == "m1.1"
    refresh(database, artifacts, activate=False)
    _register_broken(database, artifacts)
    upsert_items(database, pa.table({"item": [NEW_ITEM], "categories": [["c1"]]}))
    database.close()
    return World(url, artifacts)


def _register_broken(database: Database, artifacts: Path) -> None:
    """m1.3 has one flipped bit, in the vectors of its items."""
    like = registry.revisions(database)[-1]
    registry.add_revision(
        database, 1, path="m1.3", as_of=like.as_of, known_at=like.known_at, snapshot_hash="", metrics={}
    )
    shutil.copytree(artifacts / "m1.2", artifacts / "m1.3")
    manifest = artifacts / "m1.3" / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace('"n_items": ', '"n_items": 1'))


@pytest.fixture(scope="session", autouse=True)
def _plain_logs() -> None:
    set_up_logging(
        "WARNING"
    )  # as `serve` logs; structlog's own default draws tracebacks with all variables, for seconds


@pytest.fixture(scope="session")
def world_template(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    shutil.copyfile(sqlite_template, folder / "penchant.db")
    return train_world(f"sqlite:///{folder / 'penchant.db'}", folder / "artifacts")


@pytest.fixture(scope="session")
def copy_world(world_template: World) -> Callable[[Path], World]:
    """Copies the trained world into a folder, for a test that changes it."""

    def copy(folder: Path) -> World:
        shutil.copyfile(world_template.url.removeprefix("sqlite:///"), folder / "penchant.db")
        shutil.copytree(world_template.artifacts, folder / "artifacts")
        return World(f"sqlite:///{folder / 'penchant.db'}", folder / "artifacts")

    return copy


@pytest.fixture
def world(copy_world: Callable[[Path], World], tmp_path: Path) -> World:
    return copy_world(tmp_path)


def start_process(world: World, *arguments: str, module: str = "server") -> "subprocess.Popen[str]":
    """`penchant serve` as an admin starts it; its log goes to `server.log` beside the artifacts.

    Nobody reads its standard output after the address: whatever it went on to say there would block it in the end.
    module: one that takes the same arguments.
    """
    environment = os.environ | {"PENCHANT_DATABASE_URL": world.url, "PENCHANT_ARTIFACTS": str(world.artifacts)}
    command = [sys.executable, "-m", module, "serve", "--listen", "127.0.0.1:0", *arguments]
    with (world.artifacts.parent / "server.log").open("w") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)


def address_of(server: "subprocess.Popen[str]") -> str:
    assert server.stdout is not None
    for line in server.stdout:
        if line.startswith("penchant serves on "):
            return line.split()[-1]
    raise AssertionError(f"the server ended with exit code {server.wait()}; its log says why")


@pytest.fixture(scope="session")
def served(copy_world: Callable[[Path], World], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server process for all tests that neither stop it nor change which revision answers."""
    world = copy_world(tmp_path_factory.mktemp("served"))
    server = start_process(world)
    try:
        target = address_of(server)
        database = Database(world.url)
        with PenchantClient(target, deadline_ms=30_000) as client:
            yield Served(world, target, client, database)
        database.close()
    finally:
        server.terminate()
        server.communicate(timeout=30)


@dataclass(frozen=True)
class Running:
    """A server in this process, for tests that reach into it."""

    app: App
    world: World
    target: str
    client: PenchantClient
    database: Database


@pytest.fixture
def run(world: World) -> Iterator[Callable[..., Running]]:
    """Starts a server in this process over the test's own world, which may be prepared before; takes settings."""
    running: list[Running] = []

    def start_one(**chosen: Any) -> Running:
        app = start(world.settings().model_copy(update=chosen))
        target = f"127.0.0.1:{app.port}"
        opened = Running(app, world, target, PenchantClient(target, deadline_ms=30_000), Database(world.url))
        running.append(opened)
        return opened

    yield start_one
    for each in running:
        each.client.close()
        each.app.stop(0)
        each.database.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What trains a model and starts a server for many tests is not one test's time."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(60, func_only=True))


@pytest.fixture(scope="session")
def served_by_postgresql(
    world_template: World, postgresql_server: str, postgresql_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """The same shop and the same models over PostgreSQL, served from this process."""
    name = f"served_{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{postgresql_template}"')
    artifacts = tmp_path_factory.mktemp("postgresql") / "artifacts"
    shutil.copytree(world_template.artifacts, artifacts)
    address = make_url(postgresql_server.replace("postgresql://", "postgresql+psycopg://")).set(database=name)
    world = World(address.render_as_string(hide_password=False), artifacts)
    database = Database(world.url)
    fill(database)
    _register_again(Database(world_template.url), database)
    upsert_items(database, pa.table({"item": [NEW_ITEM], "categories": [["c1"]]}))
    app = start(world.settings())
    target = f"127.0.0.1:{app.port}"
    with PenchantClient(target, deadline_ms=30_000) as client:
        yield Served(world, target, client, database)
    app.stop(0)
    database.close()


def _register_again(there: Database, here: Database) -> None:
    revisions = registry.revisions(there)
    number = registry.create_model(here, config=revisions[0].config)
    for each in revisions:
        registry.add_revision(
            here,
            number,
            path=each.path,
            as_of=each.as_of,
            known_at=each.known_at,
            snapshot_hash=each.snapshot_hash,
            metrics=each.metrics,
        )
    registry.activate(here, revisions[0].version)
    there.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def anywhere(request: pytest.FixtureRequest) -> Served:
    """A served world on each engine; tests share it and keep to users, items and categories of their own."""
    found: Served = request.getfixturevalue("served" if request.param == "sqlite" else "served_by_postgresql")
    return found


@pytest.fixture(scope="session")
def stored_histories() -> Callable[[Served, list[str], int], Histories]:
    """What users did before a time, in m1.1's index spaces: by way of the snapshot and not of the serving path."""

    def read(served: Served, users: list[str], before_us: int) -> Histories:
        artifact = served.world.artifact("m1.1")
        snapshot = take_snapshot(served.database, as_of=before_us)
        assert snapshot.items.external[: len(artifact.items)].equals(artifact.items.external)
        histories = histories_of(snapshot).select(snapshot.users.index_of(users))
        return replace(histories, n_items=len(artifact.items))

    return read


@pytest.fixture(scope="session")
def publish_as() -> Callable[[World, str, str], None]:
    """Puts the files of a revision there once more, under another number of the same model."""

    def publish(world: World, old: str, new: str) -> None:
        coming = world.artifacts / f"{new}-coming"
        shutil.copytree(world.artifacts / old, coming)
        fields = read_manifest(coming / MANIFEST).model_dump(exclude={"format_version", "checksum"})
        (coming / MANIFEST).unlink()
        write_manifest(coming / MANIFEST, fields | {"revision": registry.parse_version(new).revision})
        coming.rename(world.artifacts / new)

    return publish


@pytest.fixture(scope="session")
def eventually() -> Callable[..., None]:
    """Asks until it is so. The promise is a second; the patience is for a busy machine."""

    def ask(is_so: Callable[[], bool], patience_s: float = 20.0) -> None:
        deadline = time.monotonic() + patience_s
        while not is_so():
            assert time.monotonic() < deadline, "it never came to be"
            time.sleep(0.05)

    return ask


@pytest.fixture
def serve() -> "Iterator[Callable[..., tuple[subprocess.Popen[str], str]]]":
    """Starts `penchant serve` over a world, with more arguments if need be: the process and its address."""
    started: list[subprocess.Popen[str]] = []

    def one(world: World, *arguments: str, module: str = "server") -> "tuple[subprocess.Popen[str], str]":
        started.append(start_process(world, *arguments, module=module))
        return started[-1], address_of(started[-1])

    yield one
    for server in started:
        server.terminate()
        server.communicate(timeout=30)
