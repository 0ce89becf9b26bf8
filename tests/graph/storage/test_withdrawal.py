import pytest

from graph.storage.columns import EVENTS, ITEMS, USERS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.recent import recent_events
from graph.storage.seen import seen_items
from graph.storage.users import count_users, get_users, upsert_users
from graph.storage.withdrawal import withdraw_user
from tests.graph.storage.names import item_names

NOW = 1_700_000_000_000_000


@pytest.fixture
def shop(database: Database) -> Database:
    """Ann had tea, salt and soap, and took the salt back; Bob had tea."""
    upsert_items(database, table_of(ITEMS, [{"item": name} for name in ("tea", "salt", "soap")]))
    upsert_users(database, table_of(USERS, [{"user": "ann", "attributes": '{"age": 40}'}, {"user": "idle"}]))
    rows = [
        {"event_id": "1", "user": "ann", "item": "tea", "kind": "view", "occurred_at": NOW},
        {"event_id": "2", "user": "ann", "item": "salt", "kind": "purchase", "occurred_at": NOW + 1},
        {"event_id": "3", "user": "ann", "item": "soap", "kind": "dislike", "occurred_at": NOW + 2},
        {"event_id": "4", "user": "bob", "item": "tea", "kind": "view", "occurred_at": NOW},
        {"event_id": "5", "user": "ann", "kind": "retract", "retracts": "2", "occurred_at": NOW + 3},
    ]
    append_events(database, table_of(EVENTS, rows), source="test", recorded_at=NOW + 4)
    return database


def standing(database: Database, user: str, before_us: int = NOW + 100) -> list[str]:
    return item_names(database, recent_events(database, [user], limit=10, before_us=before_us).item_id.tolist())


def seen(database: Database, user: str, before_us: int) -> list[int]:
    return [int(number) for number in seen_items(database, user, before_us=before_us)]


def test_a_withdrawn_user_has_no_events_and_no_attributes(shop: Database) -> None:
    assert standing(shop, "ann") == ["tea", "soap"]
    assert withdraw_user(shop, "ann", at_us=NOW + 10)
    assert standing(shop, "ann") == []
    assert seen(shop, "ann", NOW + 100) == []
    assert get_users(shop, ["ann"])["ann"].attributes is None
    assert standing(shop, "bob") == ["tea"]


def test_the_past_before_the_withdrawal_stays(shop: Database) -> None:
    withdraw_user(shop, "ann", at_us=NOW + 10)
    assert standing(shop, "ann", before_us=NOW + 10) == ["tea", "soap"]


def test_withdrawing_again_finds_nothing_to_do(shop: Database) -> None:
    assert withdraw_user(shop, "ann", at_us=NOW + 10)
    assert not withdraw_user(shop, "ann", at_us=NOW + 20)
    assert not withdraw_user(shop, "nobody")
    assert not withdraw_user(shop, "idle")


def test_what_a_user_does_afterwards_counts_and_can_be_withdrawn_again(shop: Database) -> None:
    withdraw_user(shop, "ann", at_us=NOW + 10)
    again = {"event_id": "6", "user": "ann", "item": "salt", "kind": "view", "occurred_at": NOW + 20}
    append_events(shop, table_of(EVENTS, [again]), source="test", recorded_at=NOW + 20)
    assert standing(shop, "ann") == ["salt"]
    assert withdraw_user(shop, "ann", at_us=NOW + 30)
    assert standing(shop, "ann") == []


def test_seen_is_what_stands_of_any_kind_before_a_time(shop: Database) -> None:
    (tea,) = seen(shop, "bob", NOW + 100)
    assert tea in seen(shop, "ann", NOW + 100)
    assert len(seen(shop, "ann", NOW + 100)) == 2
    assert len(seen(shop, "ann", NOW + 3)) == 3  # the salt is not yet taken back
    assert seen(shop, "ann", NOW + 1) == [tea]
    assert seen(shop, "nobody", NOW + 100) == []


def test_users_who_did_something_are_counted(shop: Database) -> None:
    assert count_users(shop, active_before=NOW + 100) == 2
    assert count_users(shop, active_before=NOW) == 0
