"""Which schema a version of penchant runs on, and what it says when it cannot."""

import pytest
from sqlalchemy import text

from graph.storage.database import Database
from graph.storage.errors import SchemaError
from migrations.commands import downgrade, known_revisions, upgrade


def pretend(database: Database, *, schema: str, oldest_server_schema: str) -> None:
    """As if a later version of penchant had upgraded the store."""
    with database.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :schema"), {"schema": schema})
        connection.execute(
            text("UPDATE schema_compatibility SET oldest_server_schema = :oldest"), {"oldest": oldest_server_schema}
        )


def test_a_store_without_schema_names_the_command(database: Database) -> None:
    downgrade(database, "base")
    with pytest.raises(SchemaError, match="penchant db upgrade"):
        database.require_schema()


def test_an_older_schema_names_the_command(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("migrations.commands.known_revisions", lambda: (*known_revisions(), "9999"))
    with pytest.raises(
        SchemaError, match=rf"has schema {known_revisions()[-1]}, this version needs 9999. Run `penchant db upgrade`"
    ):
        database.require_schema()


def test_a_newer_schema_that_still_lets_us_run(database: Database) -> None:
    pretend(database, schema="9999", oldest_server_schema=known_revisions()[-1])
    database.require_schema()


def test_a_newer_schema_that_does_not(database: Database) -> None:
    pretend(database, schema="9999", oldest_server_schema="9998")
    with pytest.raises(SchemaError, match="too old for it"):
        database.require_schema()


def test_moving_an_unknown_schema_is_refused(database: Database) -> None:
    pretend(database, schema="9999", oldest_server_schema="9999")
    with pytest.raises(SchemaError, match="a newer one may know more"):
        upgrade(database)
