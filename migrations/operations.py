"""What revisions use instead of Alembic's own operations where a big table must stay usable meanwhile.

On PostgreSQL an index is built CONCURRENTLY: events are still written while it grows. That works outside transactions
only, so a revision that calls this should do nothing else, and may be run again wherever it was interrupted.
SQLite has one writer at a time in any case.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from alembic import context, op

from graph.storage.check import unfinished_indexes

LOCK_TIMEOUT = "10s"
"""A statement that waits for a lock makes every later query wait behind it: it gives up soon and can be run again."""


def create_index(name: str, table: str, columns: Sequence[str], **options: Any) -> None:
    """`op.create_index` without holding up writers. Raises what the database says."""
    if op.get_context().dialect.name != "postgresql":
        op.create_index(name, table, columns, **options)
        return
    with _concurrently():
        if not context.is_offline_mode() and name in unfinished_indexes(op.get_bind()):
            op.drop_index(name, table, postgresql_concurrently=True)
        op.create_index(name, table, columns, postgresql_concurrently=True, if_not_exists=True, **options)


def drop_index(name: str, table: str) -> None:
    """`op.drop_index` without holding up readers and writers."""
    if op.get_context().dialect.name != "postgresql":
        op.drop_index(name, table)
        return
    with _concurrently():
        op.drop_index(name, table, postgresql_concurrently=True, if_exists=True)


@contextmanager
def _concurrently() -> Iterator[None]:
    """Outside a transaction, and patient: a concurrent build waits for older transactions and blocks nobody."""
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        yield
        op.execute(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
