"""A load killed at any moment and run again ends as if it had never been interrupted: nothing lost, nothing doubled."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import select

from graph.ingest import streams
from graph.ingest.load import load
from graph.ingest.mapping import load_mapping
from graph.storage.database import Database
from graph.storage.tables import (
    category,
    category_version,
    event_kind,
    interaction,
    item,
    item_category,
    item_version,
    user,
)

ROOT = Path(__file__).parents[3]
MAPPING = """
source = "shop"
[items]
file = "items.csv"
id = "i"
name = "n"
[[items.categories]]
columns = ["top", "sub"]
[users]
file = "users.csv"
id = "u"
attributes = ["age"]
[events]
file = "events-*.csv"
user = "u"
item = "i"
kind = "view"
value = "v"
occurred_at = { column = "t" }
unknown_items = "create"
"""
LOADER = """
import sys
from pathlib import Path
from graph.ingest import streams
from graph.ingest.load import load
from graph.ingest.mapping import load_mapping
from graph.storage.database import Database

streams.BLOCK_BYTES = 2_000  # many transactions
folder = Path(sys.argv[2])
database, mapping = Database(sys.argv[1]), load_mapping(folder / "shop.toml")
files = {name: folder / mapping.table(name).file for name in mapping.tables()}
load(database, mapping, mapping.files(folder), folder / "rejects.jsonl", lambda *step: print("step", flush=True))
database.close()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop's files: events equal to each other within and across files, some for unknown items, some that are bad."""
    folder = tmp_path_factory.mktemp("shop")
    chance = random.Random(7)
    (folder / "shop.toml").write_text(MAPPING)
    (folder / "items.csv").write_text("i,n,top,sub\n" + "".join(f"i{n},n{n},t{n % 3},s{n % 7}\n" for n in range(150)))
    (folder / "users.csv").write_text("u,age\n" + "".join(f"u{n},{n}\n" for n in range(80)))
    for part in range(3):
        lines = [
            f"u{chance.randrange(120)},i{chance.randrange(160)},{chance.choice(['2020-01-01', '2020-01-02', 'never'])},"
            f"{chance.choice(['', '1'])}\n"
            for _ in range(400)
        ]
        (folder / f"events-{part}.csv").write_text("u,i,t,v\n" + "".join(lines + lines[:150]))
    return folder


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("loader") / "loader.py"
    path.write_text(LOADER)
    return path


def start(loader: Path, url: str, folder: Path) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")])}
    command = [sys.executable, str(loader), url, str(folder)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def steps(process: "subprocess.Popen[str]") -> Iterator[str]:
    assert process.stdout is not None
    yield from process.stdout


def run_to_the_end(url: str, folder: Path) -> int:
    """The same load in this process; the number of its batches."""
    database, mapping = Database(url), load_mapping(folder / "shop.toml")
    ended: list[int] = []
    with patch.object(streams, "BLOCK_BYTES", 2_000):
        load(database, mapping, mapping.files(folder), folder / "rejects.jsonl", lambda _, done, __: ended.append(done))
    database.close()
    return len(ended)


def kill_after(loader: Path, url: str, folder: Path, batches: int, wait_s: float) -> None:
    """kill -9 a little after that many batches: within the next transaction, or at its commit."""
    with start(loader, url, folder) as process:
        for count, _ in enumerate(steps(process), 1):
            if count >= batches:
                break
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)


def content(url: str) -> dict[str, Counter[Any]]:
    """All rows that a load writes, by what they say: surrogate ids and recorded_at left out."""
    parent = category.alias("parent")
    v, c = item_version.c, category_version.c
    queries = {
        "user": select(user.c.external_id, user.c.attributes),
        "item": select(item.c.external_id, v.valid_from, v.name, v.attributes, v.available, v.deleted, v.is_current)
        .outerjoin(item_version, v.item_id == item.c.id),
        "item_category": select(item.c.external_id, v.is_current, category.c.external_id)
        .join(item_version, v.item_id == item.c.id)
        .join(item_category, item_category.c.item_version_id == v.id)
        .join(category, category.c.id == item_category.c.category_id),
        "category": select(category.c.external_id, c.valid_from, c.name, parent.c.external_id, c.is_current)
        .outerjoin(category_version, c.category_id == category.c.id)
        .outerjoin(parent, parent.c.id == c.parent_id),
        "interaction": select(
            interaction.c.event_id, user.c.external_id, item.c.external_id, event_kind.c.name, interaction.c.value,
            interaction.c.context, interaction.c.occurred_at,
        )
        .join(user, user.c.id == interaction.c.user_id)
        .join(item, item.c.id == interaction.c.item_id)
        .join(event_kind, event_kind.c.id == interaction.c.kind_id),
    }  # fmt: skip
    database = Database(url)
    with database.connect() as connection:
        rows = {name: Counter(str(tuple(row)) for row in connection.execute(query)) for name, query in queries.items()}
    database.close()
    return rows


@dataclass(frozen=True)
class Whole:
    batches: int
    content: dict[str, Counter[Any]]


@pytest.fixture(scope="module")
def whole(folder: Path, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Whole:
    """An uninterrupted load. What it writes is the same on both engines."""
    path = tmp_path_factory.mktemp("whole") / "whole.db"
    path.write_bytes(sqlite_template.read_bytes())
    batches = run_to_the_end(f"sqlite:///{path}", folder)
    expected = content(f"sqlite:///{path}")
    assert expected["interaction"].total() > 900
    return Whole(batches, expected)


def interrupted_as_uninterrupted(loader: Path, folder: Path, url: str, whole: Whole, rounds: int, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(rounds):
        kill_after(loader, url, folder, chance.randint(1, whole.batches - 1), chance.random() * 0.05)
        so_far = content(url)["interaction"]
        assert so_far <= whole.content["interaction"]
        assert max(so_far.values(), default=1) == 1
    for _ in range(2):
        run_to_the_end(url, folder)
        assert content(url) == whole.content


@pytest.mark.timeout(180)
def test_a_killed_load_run_again_equals_an_uninterrupted_one(
    loader: Path, folder: Path, database_url: str, whole: Whole
) -> None:
    interrupted_as_uninterrupted(loader, folder, database_url, whole, rounds=2, seed=3)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_kill_rounds(loader: Path, folder: Path, database_url: str, whole: Whole, seed: int) -> None:
    interrupted_as_uninterrupted(loader, folder, database_url, whole, rounds=10, seed=seed)
