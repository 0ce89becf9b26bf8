"""A user whose interest switches: after how many events the server's own engine follows."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.times import DAY_US, SECOND_US, now_us
from server.engine import Engine, Filter
from server.live import read_live_catalog
from server.revision import load_revision
from training.fast.answer import FastMixture
from training.recency import Recency

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.server.conftest import World

GROUPS, ITEMS, USERS, EVENTS, FOLLOWED = 4, 60, 16, 8, 5


@pytest.fixture
def engine(world: "World") -> "Iterator[Engine]":
    database = Database(world.url)
    revision = load_revision(Path(world.artifacts) / "m1.1")
    # What a shop of people with moods teaches (test_recency.py); the users of this world have none.
    moody = revision.mixture.with_recency(Recency(top=1.0, half_life_days=1.0))
    revision = replace(revision, fast=FastMixture.of(moody, now_us()))
    yield Engine(database, revision, read_live_catalog(database, revision.artifact))
    database.close()


def curves(engine: Engine, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """[USERS, EVENTS + 1] after 0, 1, … events of the new interest: its share of the ten best, and whether it leads.

    Each user bought fifteen items of one group over the last half year, and from today on is interested in another.
    """
    random, start = np.random.default_rng(3), now_us()
    share, leads = np.zeros((USERS, EVENTS + 1)), np.zeros((USERS, EVENTS + 1), bool)
    for number in range(USERS):
        old, new = number % GROUPS, (number + 1 + number // GROUPS) % GROUPS
        new = new if new != old else (old + 1) % GROUPS
        user = f"{kind}-{number}"

        def of(group: int, n: int) -> list[str]:
            return [f"i{GROUPS * place + group}" for place in random.choice(ITEMS // GROUPS, n).tolist()]

        times = start - (np.arange(15)[::-1] + 1) * 12 * DAY_US
        record(engine.database, user, of(old, 15), "purchase", times)
        for n, item in enumerate([None, *of(new, EVENTS)]):
            if item is not None:
                record(engine.database, user, [item], kind, np.array([start - (EVENTS - n + 1) * 60 * SECOND_US]))
            past = engine.past([user])
            best = engine.best(engine.known(past)[0], 10, engine.allowed(Filter()))
            assert best is not None
            names = engine.revision.artifact.items.externals_of(best.items)
            share[number, n] = np.mean([int(name[1:]) % GROUPS == new for name in names])
            leaning = engine.interests(past, 10).category
            categories = [c for c in engine.revision.artifact.categories.externals_of(leaning) if c != "c-all"]
            leads[number, n] = categories[0] == f"c{new}"
    return share, leads


def record(database: Database, user: str, items: list[str], kind: str, times: Any) -> None:
    columns = {"user": [user] * len(items), "item": items, "kind": [kind] * len(items), "occurred_at": times}
    append_events(database, pa.table(columns), source="test")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["purchase", "view"])
def test_a_new_interest_is_followed_within_five_events(engine: Engine, kind: str) -> None:
    share, leads = curves(engine, kind)
    print("share of the ten best", share.mean(axis=0).round(2), "leads", leads.mean(axis=0).round(2))
    assert share[:, 0].mean() < 0.2
    assert share.mean(axis=0)[FOLLOWED] > 0.9  # 0.65 where the newest events count like all
    assert (share[:, FOLLOWED] > 0.5).mean() > 0.9
    assert leads[:, EVENTS].mean() > 0.9
