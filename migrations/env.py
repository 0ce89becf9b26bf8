"""Run by Alembic for each command: connects it to the database that migrations/commands.py was given."""

import time

from alembic import context
from sqlalchemy import Connection, text

from graph.storage.database import Database
from graph.storage.tables import metadata
from migrations.operations import LOCK_TIMEOUT

UPGRADE_LOCK = 0x70656E63
"""PostgreSQL advisory lock: two upgrades at once run one after the other."""
PATIENCE_S = 0.2


def run() -> None:
    database: Database = context.config.attributes["database"]
    if context.is_offline_mode():
        context.configure(dialect_name=database.engine.dialect.name, target_metadata=metadata, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    if database.is_sqlite:
        with database.begin() as connection:
            _migrate(connection)
        return
    with database.connect() as connection:
        try:
            _wait_for_others(connection)
            connection.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.commit()
            _migrate(connection)
        finally:
            connection.invalidate()  # lock and setting belong to the session: it ends here


def _wait_for_others(connection: Connection) -> None:
    """Asks again and again: who waits inside a statement holds a snapshot, and a concurrent build waits for its end."""
    while not connection.execute(text(f"SELECT pg_try_advisory_lock({UPGRADE_LOCK})")).scalar():
        connection.commit()
        time.sleep(PATIENCE_S)


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transactional_ddl=True,
        # Before an index that is built concurrently, what the revisions below it did has to be committed.
        transaction_per_migration=connection.dialect.name == "postgresql",
    )
    with context.begin_transaction():
        context.run_migrations()


run()
