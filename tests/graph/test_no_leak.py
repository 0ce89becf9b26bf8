"""Nothing of the future reaches a snapshot, a history or a graph.

Random stores with back-dated events, retractions and a catalog that changes are cut at random pairs of times. What
comes out is compared with the definition, written as loops over the tables' raw rows, and must not change when the
future is added to the store afterwards.
"""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from graph.snapshot import take_snapshot
from graph.storage.columns import EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from tests.graph.definition import defined, shown
from tests.graph.random_stores import ITEM_IDS, LOADS, Load, Row, fresh, write

LEAKS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.timeout(300)
@LEAKS
@given(load=LOADS, as_of=st.integers(1, 10), known_at=st.integers(2, 9))
def test_a_snapshot_is_its_definition(sqlite_template: Path, load: Load, as_of: int, known_at: int) -> None:
    with fresh(sqlite_template) as database:
        write(database, load, "e")
        snapshot = take_snapshot(database, as_of=as_of, known_at=known_at)
        expected = defined(database, as_of, known_at)
        event(f"events visible: {len(expected['events']) > 0}, of all: {len(expected['events']) == len(load.events)}")
        assert shown(snapshot) == expected


@pytest.mark.timeout(300)
@LEAKS
@given(load=LOADS, as_of=st.integers(2, 12), known_at=st.integers(3, 9), data=st.data())
def test_until_is_the_snapshot_taken_then(
    sqlite_template: Path, load: Load, as_of: int, known_at: int, data: st.DataObject
) -> None:
    borders = sorted({row["occurred_at"] for row in load.retractions + load.events})  # where < and <= differ
    t = min(as_of, data.draw(st.sampled_from(borders) | st.integers(1, 10)))
    with fresh(sqlite_template) as database:
        write(database, load, "e")
        late = take_snapshot(database, as_of=as_of, known_at=known_at).until(t)
        direct = take_snapshot(database, as_of=t, known_at=known_at)
        assert (late.as_of, late.known_at) == (direct.as_of, direct.known_at)
        assert shown(late) == shown(direct)
        assert late.content_hash == direct.content_hash


@pytest.mark.timeout(300)
@LEAKS
@given(past=LOADS, later=LOADS, as_of=st.integers(1, 8))
def test_the_future_does_not_change_the_past(sqlite_template: Path, past: Load, later: Load, as_of: int) -> None:
    known_at = 9
    with fresh(sqlite_template) as database:
        upsert_items(database, table_of(ITEMS, [{"item": item} for item in ITEM_IDS]), recorded_at=0)
        write(database, past, "e")
        before = take_snapshot(database, as_of=as_of, known_at=known_at)

        # Recorded in time, but happens at the cut or after it; a retraction there of an event before it, too.
        write(database, Load([], _from(as_of, later.events), _from(as_of, later.retractions)), "f")
        write(database, Load([], [], _from(as_of, later.retractions)), "e")
        changes = [(known_at, (what, _valid_after(as_of, row))) for _, (what, row) in later.changes]
        write(database, Load(changes, [], []), "f")
        # Happened at any time, recorded afterwards.
        write(database, later, "g", recorded_later=known_at + 1)
        write(database, Load([], [], later.retractions), "e", recorded_later=known_at + 1)

        after = take_snapshot(database, as_of=as_of, known_at=known_at)
        assert shown(after) == shown(before)
        assert after.content_hash == before.content_hash


def _from(as_of: int, rows: list[Row]) -> list[Row]:
    return [{**row, "occurred_at": row["occurred_at"] + as_of} for row in rows]


def _valid_after(as_of: int, row: Row) -> Row:
    return {**row, "valid_from": as_of + 1 + (row["valid_from"] or 0)} if "valid_from" in row else row


def test_the_newest_event_is_seen_when_no_time_is_given(sqlite_database: Database) -> None:
    rows = [
        {"user": "u", "item": "i", "kind": "view", "occurred_at": when, "recorded_at": recorded}
        for when, recorded in ((3, 0), (5, 0), (8, 7))
    ]
    assert take_snapshot(sqlite_database, as_of=None, known_at=4).as_of == 4  # an empty store
    append_events(sqlite_database, table_of(EVENTS, rows), source="s", unknown_items="create", recorded_at=0)
    assert take_snapshot(sqlite_database, as_of=None, known_at=0).as_of == 6
    latest = take_snapshot(sqlite_database, as_of=None)
    assert (latest.as_of, len(latest.events)) == (9, 3)
    assert (latest.item_exists.tolist(), latest.catalog_log.items.valid_from.tolist()) == ([True], [3])
