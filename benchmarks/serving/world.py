"""What is served: a made-up shop and a model of it, made once and kept in a folder."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import func, select

from graph.storage.database import Database
from graph.storage.tables import interaction, item, user

ROOT = Path(__file__).parents[2]
DAYS, EVENTS_A_USER = 365, 50
EPOCHS, DIM = 1, 128


@dataclass(frozen=True)
class World:
    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder.resolve() / 'penchant.db'}"

    @property
    def environment(self) -> Mapping[str, str]:
        places = {"PENCHANT_DATABASE_URL": self.url, "PENCHANT_ARTIFACTS": str(self.folder / "artifacts")}
        return os.environ | places

    def penchant(self, *arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "server", *arguments], cwd=ROOT, env=self.environment, check=True)

    @contextmanager
    def serve(self, *arguments: str) -> Iterator[str]:
        """Address of a server over it."""
        with another("server", "serve", "--listen", "127.0.0.1:0", *arguments, environment=self.environment) as address:
            yield address

    def names(self, n: int, events: int = EVENTS_A_USER) -> tuple[list[str], list[str]]:
        """n users at random of those whose number of events is nearest to `events`, and all items."""
        database = Database(self.url)
        with database.connect() as connection:
            counted = select(user.c.external_id, func.count()).join(interaction).group_by(user.c.id)
            users, counts = zip(*connection.execute(counted).all(), strict=True)
            items = list(connection.scalars(select(item.c.external_id)))
        database.close()
        nearest = np.argsort(np.abs(np.array(counts) - events), kind="stable")[:n]
        chosen = np.random.default_rng(0).permutation(nearest)
        return [users[row] for row in chosen], items


@contextmanager
def another(module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Runs a module that serves, in a process of its own; its address is the last word of the first line it prints."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait(60)


def make_world(folder: Path, items: int) -> World:
    """Two users for seven items, fifty events a user on average; one epoch of training: vectors cost what they cost."""
    world, users = World(folder / f"{items}-items"), items * 2 // 7
    done = world.folder / "done"
    if done.exists():
        return world
    world.folder.mkdir(parents=True, exist_ok=True)
    shop = world.folder / "shop"
    sizes = {"users": users, "items": items, "categories": max(20, items // 70), "events": users * EVENTS_A_USER}
    if not shop.exists():
        options = [text for name, size in sizes.items() for text in (f"--{name}", str(size))]
        world.penchant("synth", "--out", str(shop), "--days", str(DAYS), "--format", "parquet", *options)
    world.penchant("db", "upgrade")
    world.penchant("ingest", str(shop / "shop.toml"), "--base", str(shop))
    world.penchant("train", "--epochs", str(EPOCHS), "--dim", str(DIM), "--force")
    done.touch()
    return world
