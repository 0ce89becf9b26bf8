"""The change feed: every write appends a row in its own transaction, and each server process follows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, literal, select, text, tuple_

from graph.storage.database import Database
from graph.storage.tables import change
from graph.storage.times import now_us

NAMED_AT_MOST = 1_000
"""A change names the users or items it touched up to this many; above, None stands for 'any of them'."""
LOOK_BACK = 1_000
"""Changes that may be committed while one that came before them is not."""
OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@dataclass(frozen=True)
class Change:
    id: int
    kind: str  # events, catalog, activation or erasure
    detail: Mapping[str, Any]
    recorded_at: int


def append_change(connection: Connection, kind: str, detail: Mapping[str, Any]) -> None:
    """Says what this transaction changed; readers see it when and only when it commits."""
    transaction = text("pg_current_xact_id()::text::bigint") if _is_postgresql(connection) else literal(0)
    connection.execute(
        insert(change).values(kind=kind, detail=dict(detail), recorded_at=now_us(), transaction_id=transaction)
    )


def names(values: list[str]) -> list[str] | None:
    """`values` for a change's detail, None when they are too many to be named."""
    return values if len(values) <= NAMED_AT_MOST else None


class Follower:
    """Gives each change once, from the moment it was made.

    PostgreSQL hands out ids before transactions commit, so a row may appear below one that was already seen. Therefore
    a row counts only once every transaction that began before its own has ended (`pg_snapshot_xmin`), and rows are
    taken in the order (transaction, id), in which nothing can appear late.
    """

    def __init__(self, database: Database, *, from_start: bool = False) -> None:
        self._database = database
        self._position = (-1, -1)  # transaction, id
        if not from_start:
            with database.connect() as connection:
                self._advance(connection.execute(_settled(connection, newest_first=True).limit(1)).all())

    def poll(self) -> list[Change]:
        """The changes since the last poll, in order."""
        with self._database.connect() as connection:
            rows = connection.execute(_settled(connection).where(tuple_(*self._position) < _ORDER)).all()
        self._advance(rows)
        return [Change(row.id, row.kind, row.detail, row.recorded_at) for row in rows]

    def _advance(self, rows: Sequence[Row[Any]]) -> None:
        if rows:
            self._position = (rows[-1].transaction_id, rows[-1].id)


class Tidings:
    """Gives each change once, as soon as it is committed, in no order: for who must hear of it soon, not in turn.

    Who follows waits on PostgreSQL for every older transaction to end, which a long load holds up. Here ids that were
    handed out before and committed later are looked for among the last LOOK_BACK.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._look_back = 0 if database.is_sqlite else LOOK_BACK
        self._top = newest_change(database)
        with database.connect() as connection:
            self._seen = self._ids(connection)

    def poll(self) -> list[Change]:
        with self._database.connect() as connection:
            ids = self._ids(connection)
            new = ids - self._seen
            # By the lowest id: after a while of silence there may be more of them than a statement takes parameters.
            rows = connection.execute(select(change).where(change.c.id >= min(new))).all() if new else []
        self._seen, self._top = ids, max(ids, default=self._top)
        return [Change(row.id, row.kind, row.detail, row.recorded_at) for row in rows if row.id in new]

    def _ids(self, connection: Connection) -> set[int]:
        return set(connection.scalars(select(change.c.id).where(change.c.id > self._top - self._look_back)))


_ORDER = tuple_(change.c.transaction_id, change.c.id)


def _settled(connection: Connection, *, newest_first: bool = False) -> Select[Any]:
    """The changes before which none can appear any more, in order."""
    keys = (change.c.transaction_id, change.c.id)
    query = select(change).order_by(*(key.desc() for key in keys) if newest_first else keys)
    if not _is_postgresql(connection):
        return query
    return query.where(change.c.transaction_id < text(OLDEST_RUNNING))


def newest_change(database: Database) -> int:
    """The id of the newest committed change, 0 when there is none."""
    with database.connect() as connection:
        return connection.execute(select(func.max(change.c.id))).scalar() or 0


def _is_postgresql(connection: Connection) -> bool:
    return connection.dialect.name == "postgresql"
