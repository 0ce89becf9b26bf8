"""Snapshots through the store, on both engines; test_no_leak.py compares them with their definition."""

from contextlib import closing
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from graph.hashing import hash_strings
from graph.snapshot import Snapshot, take_snapshot
from graph.storage.categories import upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, USERS, table_of
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.items import delete_items, upsert_items
from graph.storage.users import upsert_users

Row = dict[str, Any]


def load(database: Database, *, turned: bool = False) -> None:
    """A small shop; `turned` loads the same in another order, so that all surrogate ids differ."""
    step = -1 if turned else 1
    categories: list[Row] = [
        {"category": "food", "name": "Food"},
        {"category": "fruit", "name": "Fruit", "parent": "food"},
        {"category": "fruit", "name": "Fruit", "parent": None, "valid_from": 50},
    ]
    upsert_categories(database, table_of(CATEGORIES, categories[::step]), recorded_at=5)
    items: list[Row] = [
        {"item": "apple", "name": "Apple", "categories": ["fruit"]},
        {"item": "pear", "name": "Pear", "categories": ["fruit", "food"], "valid_from": 20},
        {"item": "apple", "name": "Red apple", "available": False, "valid_from": 60},
    ]
    for names in (("pear",), ("apple",)) if turned else (("apple",), ("pear",)):
        rows = [row for row in items if row["item"] in names]
        upsert_items(database, table_of(ITEMS, rows[::step]), recorded_at=5)
    delete_items(database, ["pear"], recorded_at=70)
    upsert_users(database, table_of(USERS, [{"user": "late"}]), recorded_at=1000)
    events: list[Row] = [
        {"event_id": "1", "user": "ann", "item": "pear", "kind": "purchase", "value": 2.0, "occurred_at": 30},
        {"event_id": "2", "user": "ann", "item": "apple", "kind": "view", "session_key": "s", "occurred_at": 10},
        {"event_id": "3", "user": "bob", "item": "apple", "kind": "dislike", "sequence": 3, "occurred_at": 40},
        {"event_id": "4", "user": "bob", "item": "pear", "kind": "view", "session_key": "s", "occurred_at": 40},
        {"event_id": "5", "user": "bob", "item": "stub", "kind": "cart", "occurred_at": 45},
        {"event_id": "6", "user": "bob", "item": None, "kind": "retract", "retracts": "4", "occurred_at": 55},
        {"event_id": "7", "user": "bob", "item": None, "kind": "retract", "retracts": "4", "occurred_at": 80},
    ]
    append_events(database, table_of(EVENTS, events[::step]), source="s", unknown_items="create", recorded_at=100)


def seen(snapshot: Snapshot) -> list[tuple[str, str, str, int]]:
    e = snapshot.events
    return [
        (snapshot.users.externals_of(e.user)[k], snapshot.items.externals_of(e.item)[k],
         snapshot.kinds[e.kind[k]].name, int(e.occurred_at[k]))
        for k in range(len(e))
    ]  # fmt: skip


def item(snapshot: Snapshot, name: str) -> int:
    return int(snapshot.items.index_of([name])[0])


def test_columns_come_out_as_they_went_in(database: Database) -> None:
    load(database)
    snapshot = take_snapshot(database, as_of=50, known_at=200)
    assert seen(snapshot) == [
        ("ann", "apple", "view", 10),
        ("ann", "pear", "purchase", 30),
        ("bob", "pear", "view", 40),  # without a sequence before those that have one
        ("bob", "apple", "dislike", 40),
        ("bob", "stub", "cart", 45),
    ]
    e = snapshot.events
    assert np.array_equal(e.value, np.array([np.nan, 2, np.nan, np.nan, np.nan], np.float32), equal_nan=True)
    assert e.sequence.tolist() == [-1, -1, -1, 3, -1]
    assert e.session[0] == e.session[2] != -1
    assert e.session[[1, 3, 4]].tolist() == [-1, -1, -1]
    assert [str(column.dtype) for column in (e.user, e.item, e.kind)] == ["int32", "int32", "int16"]
    assert len(take_snapshot(database, as_of=56, known_at=200).events) == 4  # withdrawn
    assert len(take_snapshot(database, as_of=50, known_at=99).events) == 0


def test_an_event_is_there_until_it_is_first_withdrawn(database: Database) -> None:
    load(database)
    latest = take_snapshot(database, as_of=100, known_at=200)
    for t, there in ((40, False), (41, True), (55, True), (56, False), (81, False)):
        for snapshot in (latest.until(t), take_snapshot(database, as_of=t, known_at=200)):
            assert (("bob", "pear", "view", 40) in seen(snapshot)) == there


def test_the_catalog_changes_with_time(database: Database) -> None:
    load(database)
    latest = take_snapshot(database, as_of=100, known_at=200)
    for t, name, available, parent, pear in (
        (10, "Apple", True, 0, False),
        (20, "Apple", True, 0, True),
        (50, "Apple", True, -1, True),
        (60, "Red apple", False, -1, True),
        (70, "Red apple", False, -1, False),
    ):
        for snapshot in (latest.until(t), take_snapshot(database, as_of=t, known_at=200)):
            apple = item(snapshot, "apple")
            assert snapshot.item_names[apple].as_py() == name
            assert snapshot.item_available[apple] == available
            assert snapshot.item_exists[item(snapshot, "pear")] == pear
            fruit = int(snapshot.categories.index_of(["fruit"])[0])
            found = int(snapshot.category_parent[fruit])
            assert (found >= 0) == (parent >= 0)
            assert (apple in snapshot.item_category[0]) == (t < 60)


def test_a_category_whose_parent_does_not_exist_yet_is_a_root(sqlite_database: Database) -> None:
    categories: list[Row] = [{"category": "above", "valid_from": 20}, {"category": "below", "parent": "above"}]
    upsert_categories(sqlite_database, table_of(CATEGORIES, categories), recorded_at=30)
    latest = take_snapshot(sqlite_database, as_of=40, known_at=50)
    above, below = latest.categories.index_of(["above", "below"]).tolist()
    for t, parent in ((19, -1), (20, above)):
        for snapshot in (latest.until(t), take_snapshot(sqlite_database, as_of=t, known_at=50)):
            assert snapshot.category_parent[below] == parent
            assert snapshot.category_exists[above] == (parent >= 0)


def test_index_spaces_hold_what_was_known(database: Database) -> None:
    load(database)
    assert set(take_snapshot(database, as_of=100, known_at=200).users.external.to_pylist()) == {"ann", "bob"}
    assert "late" in take_snapshot(database, as_of=100, known_at=1000).users.external.to_pylist()
    early = take_snapshot(database, as_of=100, known_at=6)
    assert sorted(early.items.external.to_pylist()) == ["apple", "pear"]
    assert len(early.users) == 0


def test_the_hash_tells_contents_and_nothing_else(sqlite_url: str, postgresql_url_fresh: str) -> None:
    stores = Database(sqlite_url), Database(postgresql_url_fresh)
    with closing(stores[0]), closing(stores[1]):
        _compare(*stores)


def _compare(one: Database, other: Database) -> None:
    load(one)
    load(other, turned=True)
    ours, theirs = (take_snapshot(store, as_of=50, known_at=200) for store in (one, other))
    assert ours.items.external.to_pylist() != theirs.items.external.to_pylist()
    assert ours.content_hash == theirs.content_hash
    assert len({ours.until(t).content_hash for t in (5, 11, 20, 31, 41, 46)}) == 6
    assert ours.until(50).content_hash == ours.content_hash
    assert ours.content_hash != take_snapshot(one, as_of=56, known_at=200).content_hash


def test_a_snapshot_cannot_see_past_its_own_moment(sqlite_database: Database) -> None:
    with pytest.raises(BadInputError, match="cannot be seen as of"):
        take_snapshot(sqlite_database, as_of=5).until(6)


def test_string_hashes_are_fixed() -> None:
    """They stand in artifacts and in snapshots' hashes: another value is another format."""
    hashes = hash_strings(pa.array(["", "a", "ab", "ba", "äb"]))
    assert len(set(hashes.tolist())) == 5
    assert hash_strings(pa.array(["x", "a", "ab"]).slice(1)).tolist() == hashes[1:3].tolist()
    assert [f"{value:016x}" for value in hashes[:2].tolist()] == ["e220a8397b1dcdaf", "d442dd5b42960211"]
