from typing import Any

from graph.storage.columns import EVENTS, USERS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.outcomes import Outcomes
from graph.storage.users import get_users, list_users, upsert_users


def upsert(database: Database, *rows: dict[str, Any], at: int = 7) -> list[str]:
    outcomes: Outcomes = upsert_users(database, table_of(USERS, rows), recorded_at=at)
    return [str(outcomes[row]) for row in range(len(outcomes))]


def test_attributes_are_stored_and_replaced(database: Database) -> None:
    assert upsert(database, {"user": "ann", "attributes": '{"age": 40}'}, {"user": "bob"}) == ["accepted"] * 2
    rows = [{"user": "ann", "attributes": '{ "age":40.0 }'}, {"user": "bob", "attributes": '{"a": [1, "é"]}'}]
    assert upsert(database, *rows) == ["unchanged", "accepted"]
    found = get_users(database, ["ann", "bob", "eve"])
    assert {name: user.attributes for name, user in found.items()} == {"ann": {"age": 40}, "bob": {"a": [1, "é"]}}
    assert upsert(database, {"user": "ann", "attributes": None}) == ["accepted"]
    assert get_users(database, ["ann"])["ann"].attributes is None
    assert upsert(database, {"user": "ann", "attributes": None}) == ["unchanged"]


def test_a_user_known_by_events_gets_attributes(database: Database) -> None:
    event = {"user": "ann", "item": "tea", "kind": "view", "occurred_at": 1}
    append_events(database, table_of(EVENTS, [event]), source="test", unknown_items="create", recorded_at=5)
    assert upsert(database, {"user": "ann", "attributes": "{}"}) == ["accepted"]
    assert get_users(database, ["ann"])["ann"].recorded_at == 5


def test_bad_and_repeated_rows_are_named(database: Database) -> None:
    rows = [{"user": "ann"}, {"user": ""}, {"user": "bob", "attributes": "no"}, {"user": "ann", "attributes": "{}"}]
    assert upsert(database, *rows) == ["superseded", "bad_id", "bad_json", "accepted"]


def test_users_are_listed_in_pages_by_code_point(database: Database) -> None:
    upsert(database, *({"user": name} for name in "bBéaZ"))
    assert [user.user for user in list_users(database, limit=2)] == ["B", "Z"]
    assert [user.user for user in list_users(database, after="Z")] == ["a", "b", "é"]
