"""Run by Alembic for each command: connects it to the database that migrations/commands.py was given."""

from alembic import context
from sqlalchemy import Connection, text

from graph.storage.database import Database
from graph.storage.tables import metadata

LOCK_TIMEOUT = "10s"
"""A migration that waits for a lock makes every later query wait behind it: it gives up soon and can be run again."""
UPGRADE_LOCK = 0x70656E63
"""PostgreSQL advisory lock: two upgrades at once run one after the other."""


def run() -> None:
    database: Database = context.config.attributes["database"]
    if context.is_offline_mode():
        context.configure(dialect_name=database.engine.dialect.name, target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    with database.begin() as connection:
        _migrate(connection)


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()
