import pytest

from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.kinds import EventKind, load_kinds, upsert_kinds


def test_a_shop_adds_its_own_and_changes_ours(database: Database) -> None:
    before = {kind.name: kind for kind in load_kinds(database)}
    upsert_kinds(database, [EventKind(0, "wishlist", 0.4, 1, 60.0), EventKind(0, "view", 0.1, 1, None)])
    after = {kind.name: kind for kind in load_kinds(database)}
    assert after.keys() - before.keys() == {"wishlist"}
    assert after["view"] == EventKind(before["view"].id, "view", 0.1, 1, None)
    assert after["cart"] == before["cart"]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (EventKind(0, "", 1, 1, None), "name"),
        (EventKind(0, "add to cart", 1, 1, None), "name"),
        (EventKind(0, "x", -1, 1, None), "weight"),
        (EventKind(0, "x", float("nan"), 1, None), "weight"),
        (EventKind(0, "x", 1, 2, None), "sign"),
        (EventKind(0, "x", 1, 1, 0.0), "half_life_days"),
        (EventKind(0, "x", 1, 1, float("inf")), "half_life_days"),
        (EventKind(0, "retract", 1, 1, None), "sign"),
        (EventKind(0, "x", 1, 1, None, float("nan")), "middle"),
    ],
)
def test_what_makes_no_sense_is_refused(sqlite_database: Database, kind: EventKind, field: str) -> None:
    with pytest.raises(BadInputError) as caught:
        upsert_kinds(sqlite_database, [EventKind(0, "fine", 1, 1, None), kind])
    assert caught.value.field == field
    assert "fine" not in {kind.name for kind in load_kinds(sqlite_database)}
