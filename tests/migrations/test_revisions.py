"""pytest-alembic's four tests on both engines: one head, up from nothing, models = migrations, up and down again."""

from typing import Any

import pytest
from alembic.config import Config
from pytest_alembic.tests import (  # noqa: F401  # run by pytest, from here
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Engine, text

from graph.storage.database import Database
from graph.storage.kinds import load_kinds
from migrations.commands import config, downgrade, known_revisions, upgrade


@pytest.fixture
def empty_database(database: Database) -> Database:
    """Without a schema. It was migrated up once, so that coming down is tested by every test here."""
    downgrade(database, "base")
    with database.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
    return database


@pytest.fixture
def alembic_engine(empty_database: Database) -> Engine:
    return empty_database.engine


@pytest.fixture
def alembic_config(empty_database: Database) -> Config:
    return config(empty_database)


def test_a_changed_model_would_be_noticed(empty_database: Database) -> None:
    """That test_model_definitions_match_ddl can fail: a column more, an index less."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Column, Integer, MetaData

    from graph.storage.tables import metadata

    upgrade(empty_database)
    changed = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["item"].append_column(Column("colour", Integer))
    event = changed.tables["interaction"]
    event.indexes -= {index for index in event.indexes if index.name == "ix_interaction_retracts"}
    with empty_database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        found = {difference[0] for difference in compare_metadata(context, changed)}
    assert found == {"add_column", "remove_index"}


def test_a_new_store_starts_with_event_kinds(database: Database) -> None:
    kinds = {(kind.name, kind.weight, kind.sign, kind.half_life_days) for kind in load_kinds(database)}
    assert kinds >= {("view", 0.2, 1, 14), ("purchase", 1, 1, None), ("dislike", 1, -1, None), ("retract", 0, 0, None)}


def test_down_to_nothing_leaves_nothing(database: Database) -> None:
    fill(database)
    downgrade(database, "base")
    assert database.schema_revision() is None
    with database.connect() as connection:
        assert tables(connection) <= {"alembic_version"}
    upgrade(database)
    assert database.schema_revision() == known_revisions()[-1]


def fill(database: Database) -> None:
    from graph.storage.columns import EVENTS, table_of
    from graph.storage.events import append_events

    event = {"user": "ann", "item": "tea", "kind": "view", "occurred_at": 1}
    append_events(database, table_of(EVENTS, [event]), source="test", unknown_items="create")


def tables(connection: Any) -> set[str]:
    from sqlalchemy import inspect

    return set(inspect(connection).get_table_names())


@pytest.mark.parametrize(
    ("values", "middle"),
    [([], 3), ([None], 3), ([1, 4.5, 5], 3), ([0.5, 5], 3), ([0, 1], None), ([1, 2], None), ([1, 10], None)],
)
def test_ratings_get_the_middle_of_five_stars_where_they_are_stars(
    empty_database: Database, values: list[float | None], middle: float | None
) -> None:
    upgrade(empty_database, "0001")
    with empty_database.begin() as connection:
        connection.execute(text("INSERT INTO \"user\" (id, external_id, recorded_at) VALUES (1, 'u', 1)"))
        connection.execute(text("INSERT INTO item (id, external_id, recorded_at) VALUES (1, 'i', 1)"))
        kind = connection.execute(text("SELECT id FROM event_kind WHERE name = 'rating'")).scalar_one()
        for number, value in enumerate(values):
            connection.execute(
                text(
                    "INSERT INTO interaction (event_id, user_id, item_id, kind_id, value, occurred_at, recorded_at) "
                    "VALUES (:event, 1, 1, :kind, :value, 1, 1)"
                ),
                {"event": str(number), "kind": kind, "value": value},
            )
    upgrade(empty_database)
    assert {kind.name: kind.middle for kind in load_kinds(empty_database)}["rating"] == middle


def test_what_serves_outlives_a_schema_without_labels(database: Database) -> None:
    from graph.storage.labels import labels, set_label
    from graph.storage.registry import activate, activations, add_revision, create_model

    model = create_model(database, config={})
    facts = {"as_of": 0, "known_at": 0, "snapshot_hash": "", "metrics": {}}
    version = add_revision(database, model, path="m1.1", **facts)  # type: ignore[arg-type]  # of several types
    activate(database, version, gate=[{"name": "quality"}])
    set_label(database, "canary", version, share=0.1)
    downgrade(database, "0002")
    upgrade(database)
    assert labels(database) == []
    (kept,) = activations(database)
    assert (kept.version, kept.gate) == (version, None)
