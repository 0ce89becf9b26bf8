"""Day after day on what was kept: the same snapshot and the same graph as from the start, whatever the days bring."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from graph.build import build_graph
from graph.snapshot import Snapshot, take_snapshot
from graph.state import edges as edges_module
from graph.state import follows as follows_module
from graph.state import tail
from graph.state.current import Current, current_graph
from graph.storage.categories import upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import delete_items, upsert_items
from graph.storage.times import DAY_US

Row = dict[str, Any]
TIMES = st.integers(0, 12)  # days; few, so that equal times and borders are met often
EVENT = st.fixed_dictionaries(
    {
        "user": st.sampled_from([f"u{k}" for k in range(6)]),
        "item": st.sampled_from([f"i{k}" for k in range(7)]),
        "kind": st.sampled_from(["view", "view", "purchase", "dislike"]),
        "value": st.sampled_from([None, 2.5]),
        "session_key": st.sampled_from([None, "a"]),
        "sequence": st.sampled_from([None, None, 0, 1]),
        "occurred_at": TIMES,
        "recorded_at": TIMES,
    }
)
CATALOG = st.fixed_dictionaries(
    {
        "item": st.sampled_from([f"i{k}" for k in range(9)]),
        "available": st.booleans(),
        "categories": st.lists(st.sampled_from(["c0", "c1", "c2"]), max_size=2, unique=True),
    }
)
DAY = st.fixed_dictionaries(
    {
        "events": st.lists(EVENT, max_size=12),
        "retractions": st.lists(st.tuples(st.integers(0, 40), TIMES, TIMES), max_size=3),
        "catalog": st.lists(CATALOG, max_size=2),
        "parent": st.sampled_from([None, "c0"]),
        "as_of": TIMES,
        "known_at": st.integers(4, 14),
    }
)


def write(database: Database, day: Row, number: int, sent: list[str]) -> None:
    """One day, recorded on the day `number` where rows bring no time of their own."""
    parents: list[Row] = [{"category": "c0"}, {"category": "c1", "parent": day["parent"]}, {"category": "c2"}]
    upsert_categories(database, table_of(CATEGORIES, parents), recorded_at=number)
    if day["catalog"]:
        upsert_items(database, table_of(ITEMS, day["catalog"]), recorded_at=number)
        delete_items(database, [day["catalog"][0]["item"]], recorded_at=number + 1)
    rows = [{**row, "event_id": f"{number}-{k}"} for k, row in enumerate(day["events"])]
    sent += [row["event_id"] for row in rows]
    rows += [
        {
            "event_id": f"{number}r{k}",
            "kind": "retract",
            "retracts": sent[which % len(sent)],
            "occurred_at": occurred_at,
            "recorded_at": recorded_at,
        }
        for k, (which, occurred_at, recorded_at) in enumerate(day["retractions"])
        if sent
    ]
    rows = [
        {**row, "occurred_at": row["occurred_at"] * DAY_US, "recorded_at": row["recorded_at"] * DAY_US} for row in rows
    ]
    if rows:
        append_events(database, table_of(EVENTS, rows), source="s", unknown_items="create", recorded_at=number)


def same(current: Current, whole: Snapshot, **options: int) -> None:
    """Exact but for the last bits of decayed weights."""
    ours, graph = current.snapshot, build_graph(whole, **options)
    assert (ours.as_of, ours.known_at, ours.kinds) == (whole.as_of, whole.known_at, whole.kinds)
    for name in ("users", "items", "categories"):
        assert getattr(ours, name).external.to_pylist() == getattr(whole, name).external.to_pylist()
        assert np.array_equal(getattr(ours, name).surrogate, getattr(whole, name).surrogate)
    for name in ("user", "item", "kind", "value", "occurred_at", "sequence", "session", "id"):
        for one, other in ((ours.events, whole.events), (ours.log.events, whole.log.events)):
            assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "value")
    assert np.array_equal(ours.log.withdrawn_at, whole.log.withdrawn_at)
    assert ours.content_hash == whole.content_hash
    assert current.graph.edge_types == graph.edge_types
    for kind in graph.edge_types:
        assert torch.equal(current.graph[kind].edge_index, graph[kind].edge_index)
        torch.testing.assert_close(current.graph[kind].edge_weight, graph[kind].edge_weight, rtol=1e-6, atol=0)
    for node in graph.node_types:
        for name, value in graph[node].items():
            assert name == "num_nodes" or torch.equal(current.graph[node][name], value)
    assert (current.graph.as_of, current.graph.epoch_us) == (graph.as_of, graph.epoch_us)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges_module, "MANY", 2.0)  # small stores count the differences, too
        yield tmp_path / "kept"


DAYS = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def check_days(database: Database, kept: Path, days: list[Row], max_distance: int, keep: int) -> int:
    """How many of the days were built on the day before."""
    sent: list[str] = []
    built_on = 0
    for number, day in enumerate(days):
        write(database, day, number, sent)
        as_of, known_at = day["as_of"] * DAY_US, day["known_at"] * DAY_US
        current = current_graph(
            database, kept, as_of=as_of, known_at=known_at, max_distance=max_distance, keep_neighbours=keep
        )
        whole = take_snapshot(database, as_of=as_of, known_at=known_at)
        same(current, whole, max_distance=max_distance, keep_neighbours=keep)
        built_on += current.new_rows is not None
    assert built_on == len(days) - 1
    return built_on


@pytest.mark.timeout(300)
@DAYS
@given(
    days=st.lists(DAY, min_size=2, max_size=4), max_distance=st.integers(1, 3), keep=st.integers(1, 3),
    changes=st.sampled_from([0.0, 0.25, 10.0]), overlap=st.sampled_from([1, 20_000]),
)  # fmt: skip
def test_days_add_up_on_sqlite(
    sqlite_template: Path, days: list[Row], max_distance: int, keep: int, changes: float, overlap: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges_module, "MANY", 2.0)
        patch.setattr(follows_module, "MOST_CHANGES", changes)
        patch.setattr(tail, "OVERLAP", overlap)
        path = Path(folder) / "store.db"
        path.write_bytes(sqlite_template.read_bytes())
        database = Database(f"sqlite:///{path}")
        check_days(database, Path(folder) / "kept", days, max_distance, keep)
        database.close()


@pytest.mark.postgres
@pytest.mark.timeout(300)
@settings(DAYS, max_examples=2)
@given(days=st.lists(DAY, min_size=2, max_size=3))
def test_days_add_up_on_postgresql(postgresql_url_fresh: str, kept: Path, days: list[Row]) -> None:
    database = Database(postgresql_url_fresh)
    tables = 'interaction, item_category, item_version, category_version, item, category, "user"'
    with database.begin() as connection:  # the same store for each example, emptied
        connection.execute(text(f"TRUNCATE {tables} RESTART IDENTITY CASCADE"))
    shutil.rmtree(kept, ignore_errors=True)
    check_days(database, kept, days, 2, 2)
    database.close()
