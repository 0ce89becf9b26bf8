"""Each kind of damage is made by hand, past the layer that would refuse it, and has to be found."""

from pathlib import Path

import pytest
from sqlalchemy import Connection, text

from graph.storage.categories import upsert_categories
from graph.storage.check import check
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.registry import add_revision, create_model

NOW = 1_700_000_000_000_000


@pytest.fixture
def shop(database: Database) -> Database:
    upsert_categories(database, table_of(CATEGORIES, [{"category": "a"}, {"category": "b", "parent": "a"}]))
    upsert_items(database, table_of(ITEMS, [{"item": "tea", "categories": ["b"]}, {"item": "salt"}]))
    upsert_items(database, table_of(ITEMS, [{"item": "tea", "name": "Tea", "categories": ["b"]}]))
    rows = [{"event_id": name, "user": "ann", "item": "tea", "kind": "view", "occurred_at": NOW} for name in "12"]
    rows.append({"user": "ann", "kind": "retract", "retracts": "1", "occurred_at": NOW})
    append_events(database, table_of(EVENTS, rows), source="test")
    return database


def damage(database: Database, *statements: str) -> None:
    """Runs statements with foreign keys not enforced."""

    def run(connection: Connection) -> None:
        for statement in statements:
            connection.execute(text(statement))

    if database.is_sqlite:
        with database.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA foreign_keys = OFF")
            run(connection)
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
            connection.exec_driver_sql("BEGIN")
    else:
        with database.begin() as connection:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            run(connection)


def found(database: Database) -> list[str]:
    return [problem.what for problem in check(database)]


def test_a_sound_store_has_no_problems(shop: Database) -> None:
    assert check(shop) == []


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE interaction SET user_id = 99 WHERE event_id = '1'", "interaction.user_id names no user"),
        ("DELETE FROM item WHERE external_id = 'salt'", "item_version.item_id names no item"),
        ("UPDATE category_version SET parent_id = 9 WHERE id = 2", "category_version.parent_id names no category"),
        ("UPDATE interaction SET occurred_at = -1", "event with an impossible occurred_at"),
        ("UPDATE interaction SET occurred_at = 4000000000000000000", "event with an impossible occurred_at"),
        ("UPDATE interaction SET recorded_at = -1", "event with an impossible recorded_at"),
        ("UPDATE item_version SET valid_from = -1 WHERE name = 'Tea'", "item_version with an impossible valid_from"),
        ("UPDATE item_version SET is_current = (1=0) WHERE name IS NOT NULL", "item_id with no current version"),
        ("DELETE FROM interaction WHERE event_id = '1'", "retraction of an unknown event"),
        ("UPDATE category_version SET parent_id = 2 WHERE category_id = 1", "cycle of categories"),
    ],
)  # fmt: skip
def test_damage_is_named(shop: Database, statement: str, what: str) -> None:
    damage(shop, statement)
    assert found(shop) == [what]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_value_that_is_not_finite_is_found(shop: Database, value: str) -> None:
    if shop.is_sqlite:
        value = {"nan": "text", "inf": "9e999", "-inf": "-9e999"}[value]
    quoted = value if value.lstrip("-")[0].isdigit() else f"'{value}'"
    damage(shop, f"UPDATE interaction SET value = {quoted} WHERE event_id = '2'")
    assert found(shop) == ["event with a value that is not finite"]


def test_the_members_of_a_cycle_are_named(shop: Database) -> None:
    damage(shop, "UPDATE category_version SET parent_id = 2 WHERE category_id = 1")
    (problem,) = check(shop)
    assert "a > b > a" in str(problem)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_index_whose_building_was_interrupted_is_found(shop: Database) -> None:
    name = "ix_interaction_occurred_at"
    damage(shop, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")
    (problem,) = check(shop)
    assert name in str(problem)


def test_several_current_versions_are_found(shop: Database) -> None:
    damage(shop, "DROP INDEX uq_item_version_current", "UPDATE item_version SET is_current = (1=1)")
    assert found(shop) == [
        "missing index",
        "item_id with several current versions",
        "item_version that is current but not the newest",
    ]


def test_an_item_without_version_is_found(shop: Database) -> None:
    damage(shop, "INSERT INTO item (external_id, recorded_at) VALUES ('bare', 1)")
    assert found(shop) == ["item without any version"]


def test_a_model_without_its_folder_is_found(shop: Database, tmp_path: Path) -> None:
    model = create_model(shop, config={})
    for path in ("there", "gone"):
        add_revision(shop, model, path=path, as_of=1, known_at=1, snapshot_hash="", metrics={})
    (tmp_path / "there").mkdir()
    (problem,) = check(shop, artifacts=tmp_path)
    assert problem.count == 1
    assert str(tmp_path / "gone") in str(problem)
