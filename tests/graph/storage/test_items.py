from typing import Any

import pytest
from sqlalchemy import func, select

from graph.storage.categories import upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import delete_items, get_items, list_items, upsert_items
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.tables import change, item_version
from graph.storage.times import EVER_US

NOW = 1_700_000_000_000_000


def tea(**fields: Any) -> dict[str, Any]:
    return {"item": "tea", "name": "Tea", "attributes": '{"price": 2.0}', "categories": ["drinks", "hot"]} | fields


def upsert(database: Database, *rows: dict[str, Any], at: int = NOW) -> Outcomes:
    return upsert_items(database, table_of(ITEMS, list(rows)), recorded_at=at)


@pytest.fixture
def shop(database: Database) -> Database:
    rows = [{"category": name} for name in ("drinks", "hot", "cold")]
    upsert_categories(database, table_of(CATEGORIES, rows), recorded_at=NOW)
    return database


def versions(database: Database) -> list[tuple[Any, ...]]:
    columns = item_version.c
    query = select(columns.valid_from, columns.name, columns.available, columns.deleted, columns.is_current)
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(query.order_by(columns.valid_from, columns.id))]


def changes(database: Database) -> int:
    with database.connect() as connection:
        return connection.execute(select(func.count()).select_from(change)).scalar_one()


def test_a_first_load_without_dates_holds_from_ever(shop: Database) -> None:
    assert upsert(shop, tea()).counts() == {Outcome.ACCEPTED: 1}
    assert versions(shop) == [(EVER_US, "Tea", True, False, True)]
    found = get_items(shop, ["tea", "nothing"])
    assert list(found) == ["tea"]
    assert found["tea"].categories == ("drinks", "hot")
    assert found["tea"].attributes == {"price": 2}


def test_what_says_nothing_new_appends_nothing(shop: Database) -> None:
    upsert(shop, tea())
    before = changes(shop)
    again = tea(categories=["hot", "drinks", "hot"], attributes='{ "price":2}', available=True)
    assert upsert(shop, again, at=NOW + 1).counts() == {Outcome.UNCHANGED: 1}
    assert (len(versions(shop)), changes(shop)) == (1, before)


@pytest.mark.parametrize(
    "other", [{"name": None}, {"attributes": None}, {"available": False}, {"categories": ["hot"]}, {"categories": None}]
)
def test_what_says_something_new_holds_from_now(shop: Database, other: dict[str, Any]) -> None:
    upsert(shop, tea())
    assert upsert(shop, tea(**other), at=NOW + 1).counts() == {Outcome.ACCEPTED: 1}
    assert [(row[0], row[-1]) for row in versions(shop)] == [(EVER_US, False), (NOW + 1, True)]


def test_a_back_dated_version_does_not_hold_now(shop: Database) -> None:
    upsert(shop, tea(valid_from=NOW - 10))
    upsert(shop, tea(name="Old tea", valid_from=NOW - 20), at=NOW + 1)
    assert [row[1] for row in versions(shop) if row[-1]] == ["Tea"]
    # The same again, and what held between the two: nothing new.
    assert upsert(shop, tea(name="Old tea", valid_from=NOW - 15), at=NOW + 2).counts() == {Outcome.UNCHANGED: 1}
    # At the time of a stored version: the later word holds.
    assert upsert(shop, tea(name="Fine tea", valid_from=NOW - 10), at=NOW + 3).counts() == {Outcome.ACCEPTED: 1}
    assert [row[1] for row in versions(shop) if row[-1]] == ["Fine tea"]


def test_a_history_in_one_batch(shop: Database) -> None:
    rows = [tea(name=name, valid_from=NOW + at) for name, at in [("C", -1), ("A", -5), ("A", -4), ("B", -2)]]
    outcomes = upsert(shop, *rows)
    assert [outcomes[row] for row in range(4)] == ["accepted", "accepted", "unchanged", "accepted"]
    assert [(row[1], row[-1]) for row in versions(shop)] == [("A", False), ("B", False), ("C", True)]


def test_of_two_rows_for_one_time_the_last_counts(shop: Database) -> None:
    outcomes = upsert(shop, tea(name="A"), tea(name="B"))
    assert [outcomes[0], outcomes[1]] == [Outcome.SUPERSEDED, Outcome.ACCEPTED]
    assert upsert(shop, tea(name="B"), tea(name="B"), at=NOW + 1).counts() == {Outcome.UNCHANGED: 2}


@pytest.mark.parametrize(
    ("bad", "outcome"),
    [
        ({"item": None}, Outcome.BAD_ID),
        ({"item": "x" * 513}, Outcome.BAD_ID),
        ({"item": "a\0b"}, Outcome.BAD_ID),
        ({"name": "a\0b"}, Outcome.BAD_VALUE),
        ({"attributes": "[1]"}, Outcome.BAD_JSON),
        ({"attributes": '{"a": NaN}'}, Outcome.BAD_JSON),
        ({"attributes": '{"a": 1e999}'}, Outcome.BAD_JSON),
        ({"attributes": '{"a": "\\u0000"}'}, Outcome.BAD_JSON),
        ({"attributes": '{"a": "\\ud800"}'}, Outcome.BAD_JSON),
        ({"attributes": "{" * 5000}, Outcome.BAD_JSON),
        ({"categories": ["hot", "lukewarm"]}, Outcome.UNKNOWN_CATEGORY),
        ({"categories": [None]}, Outcome.UNKNOWN_CATEGORY),
        ({"valid_from": NOW + 10**12}, Outcome.BAD_TIME),
        ({"valid_from": -5}, Outcome.BAD_TIME),
    ],
)
def test_a_bad_row_is_refused_alone(shop: Database, bad: dict[str, Any], outcome: Outcome) -> None:
    outcomes = upsert(shop, tea(item="other") | bad, tea())
    assert outcomes.counts() == {Outcome.ACCEPTED: 1, outcome: 1}
    assert outcomes[0] == outcome
    assert outcomes.reason(0)


def test_what_postgresql_writes_differently_is_still_the_same(shop: Database) -> None:
    odd = tea(attributes='{"b": 1e20, "a": 1e-9, "c": 0.10, "d": 1e300, "é": "\\u00e9\\\\u0000"}')
    assert upsert(shop, odd).counts() == {Outcome.ACCEPTED: 1}
    assert upsert(shop, odd).counts() == {Outcome.UNCHANGED: 1}


def test_deleted_items_are_gone_and_can_come_back(shop: Database) -> None:
    upsert(shop, tea())
    outcomes = delete_items(shop, ["tea", "nothing", "tea"], recorded_at=NOW + 1)
    assert [outcomes[row] for row in range(3)] == ["accepted", "unknown_item", "unchanged"]
    assert get_items(shop, ["tea"]) == {}
    assert list_items(shop) == []
    assert delete_items(shop, ["tea"], recorded_at=NOW + 2).counts() == {Outcome.UNCHANGED: 1}
    assert upsert(shop, tea(), at=NOW + 3).counts() == {Outcome.ACCEPTED: 1}
    assert get_items(shop, ["tea"])["tea"].categories == ("drinks", "hot")


def test_items_are_listed_in_pages_by_code_point(shop: Database) -> None:
    names = ["a", "B", "é", "Z", "b", "10", "9"]
    upsert(shop, *(tea(item=name) for name in names))
    listed: list[str] = []
    while page := list_items(shop, after=listed[-1] if listed else "", limit=2):
        listed += [found.item for found in page]
    assert listed == sorted(names)


def test_the_catalog_supersedes_stubs_that_events_made(shop: Database) -> None:
    def seen(at: int) -> None:
        event = {"user": "ann", "item": "tea", "kind": "view", "occurred_at": at}
        append_events(shop, table_of(EVENTS, [event]), source="test", unknown_items="create", recorded_at=NOW)

    seen(NOW - 5)
    seen(NOW - 9)
    seen(NOW - 1)
    assert [(row[0], row[-1]) for row in versions(shop)] == [(NOW - 9, False), (NOW - 5, True)]
    assert upsert(shop, tea(), at=NOW + 1).counts() == {Outcome.ACCEPTED: 1}
    by_time = {row[0]: row[1] for row in versions(shop)}  # the later recorded one wins
    assert by_time == {EVER_US: "Tea", NOW - 9: "Tea", NOW - 5: "Tea"}
    assert get_items(shop, ["tea"])["tea"].name == "Tea"
    assert upsert(shop, tea(), at=NOW + 2).counts() == {Outcome.UNCHANGED: 1}
    seen(NOW - 20)  # the catalog has spoken: no stub any more
    assert len(versions(shop)) == 5
