from typing import Any

import numpy as np

from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.kinds import load_kinds
from graph.storage.recent import RecentEvents, recent_events
from graph.storage.times import NEVER_US
from tests.graph.storage.names import item_names

NOW = 1_700_000_000_000_000


def append(database: Database, *rows: dict[str, Any]) -> None:
    dicts = [{"user": "ann", "kind": "view", "occurred_at": NOW} | row for row in rows]
    append_events(database, table_of(EVENTS, dicts), source="test", unknown_items="create", recorded_at=NOW + 100)


def items(database: Database, events: RecentEvents, user: int = 0) -> list[str]:
    return item_names(database, events.item_id[events.offsets[user] : events.offsets[user + 1]].tolist())


def test_the_newest_come_oldest_first(database: Database) -> None:
    append(database, *({"item": f"i{at}", "occurred_at": NOW + at} for at in (3, 1, 5, 4, 2)))
    assert items(database, recent_events(database, ["ann"], limit=3)) == ["i3", "i4", "i5"]
    assert items(database, recent_events(database, ["ann"], limit=3, before_us=NOW + 4)) == ["i1", "i2", "i3"]
    assert items(database, recent_events(database, ["ann"], limit=0)) == []


def test_within_one_instant_the_sequence_orders(database: Database) -> None:
    append(database, {"item": "a", "sequence": 2}, {"item": "b", "sequence": 10}, {"item": "c", "sequence": 1})
    assert items(database, recent_events(database, ["ann"], limit=9)) == ["c", "a", "b"]


def test_retracted_events_and_retractions_are_not_among_them(database: Database) -> None:
    append(
        database,
        {"item": "a", "event_id": "1"},
        {"item": "b", "event_id": "2"},
        {"kind": "retract", "retracts": "1", "occurred_at": NOW + 5},
    )
    assert items(database, recent_events(database, ["ann"], limit=9)) == ["b"]
    assert items(database, recent_events(database, ["ann"], limit=1)) == ["b"]
    assert items(database, recent_events(database, ["ann"], limit=9, before_us=NOW + 5)) == ["a", "b"]


def test_users_stand_in_the_order_asked(database: Database) -> None:
    append(database, {"item": "a"}, {"item": "b", "user": "bob"})
    found = recent_events(database, ["bob", "nobody", "ann", "bob"], limit=9)
    assert [items(database, found, user) for user in range(4)] == [["b"], [], ["a"], ["b"]]
    assert found.is_known.tolist() == [True, False, True, True]
    assert items(database, recent_events(database, ["nobody"], limit=9)) == []
    assert recent_events(database, [], limit=9).offsets.tolist() == [0]


def test_columns_carry_what_was_stored(database: Database) -> None:
    append(
        database, {"item": "a", "value": 2.5, "kind": "rating"}, {"item": "b", "occurred_at": NOW + 1, "sequence": 0}
    )
    found = recent_events(database, ["ann"], limit=9)
    names = {kind.id: kind.name for kind in load_kinds(database)}
    assert [names[kind] for kind in found.kind_id.tolist()] == ["rating", "view"]
    np.testing.assert_array_equal(found.value, [2.5, np.nan])
    assert found.occurred_at.tolist() == [NOW, NOW + 1]
    assert found.sequence.tolist() == [-1, 0]


def test_what_lies_ahead_is_told_but_not_among_them(database: Database) -> None:
    append(database, {"item": "a"}, {"item": "b", "occurred_at": NOW + 9}, {"item": "c", "occurred_at": NOW + 7})
    found = recent_events(database, ["ann", "bob"], limit=9, before_us=NOW + 5)
    assert items(database, found) == ["a"]
    assert found.next_at.tolist() == [NOW + 7, NEVER_US]
    assert recent_events(database, ["ann"], limit=9).next_at.tolist() == [NEVER_US]
