"""The newest events of a few users, for answering: read row by row through an index, one statement a user.

Serving asks this thousands of times a second, so the statement is compiled once and given to the driver itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Dialect, Select, and_, bindparam, func, outerjoin, select

from graph.schema import RETRACT
from graph.storage.database import Database
from graph.storage.tables import event_kind, interaction, user
from graph.storage.times import NEVER_US


@dataclass(frozen=True)
class RecentEvents:
    """Columns of length n: the events of users, within a user oldest first: by time, sequence (none = 0) and item."""

    offsets: NDArray[np.int64]  # [users + 1]: events of user u are offsets[u] to offsets[u + 1]
    item_id: NDArray[np.int64]  # surrogate ids
    kind_id: NDArray[np.int64]
    value: NDArray[np.float64]  # nan: none
    occurred_at: NDArray[np.int64]  # us
    sequence: NDArray[np.int64]  # -1: none
    is_known: NDArray[np.bool_]  # [users]: whether the store has heard of the user


def recent_events(
    database: Database, users: Sequence[str], *, limit: int, before_us: int | None = None
) -> RecentEvents:
    """The newest `limit` events of each user before a time (us, none: all), without retractions and what they withdrew.

    `users` may repeat; one that the store does not know has no events.
    """
    before = NEVER_US if before_us is None else before_us
    newest = _prepared(database.engine.dialect)
    rows: list[Any] = []
    offsets, is_known = [0], []
    with database.cursor() as cursor:
        for external in users:
            cursor.execute(newest.sql, newest.arguments(user=external, before=before, limit=limit))
            of_user = cursor.fetchall()
            is_known.append(bool(of_user))
            rows.extend(row for row in reversed(of_user) if row[0] is not None)
            offsets.append(len(rows))
    item_id, kind_id, value, occurred_at, sequence = zip(*rows, strict=True) if rows else ((),) * 5
    return RecentEvents(
        offsets=np.array(offsets, np.int64),
        item_id=np.array(item_id, np.int64),
        kind_id=np.array(kind_id, np.int64),
        value=np.array(value, np.float64),  # None becomes nan
        occurred_at=np.array(occurred_at, np.int64),
        sequence=np.array([-1 if number is None else number for number in sequence], np.int64),
        is_known=np.array(is_known, np.bool_),
    )


def _newest() -> "Select[tuple[int, int, float | None, int, int | None]]":
    """Of a user without events one row of nothing, of one whom the store has not heard of none."""
    event, later = interaction.c, interaction.alias("later").c
    retract = select(event_kind.c.id).where(event_kind.c.name == RETRACT).scalar_subquery()
    withdrawn = select(later.id).where(
        later.retracts == event.event_id, later.kind_id == retract, later.occurred_at < bindparam("before")
    )
    counts = and_(
        event.user_id == user.c.id,
        event.occurred_at < bindparam("before"),
        event.kind_id != retract,
        ~withdrawn.exists(),
    )
    order = (event.occurred_at, func.coalesce(event.sequence, 0), event.item_id, event.id)
    return (
        select(event.item_id, event.kind_id, event.value, event.occurred_at, event.sequence)
        .select_from(outerjoin(user, interaction, counts))
        .where(user.c.external_id == bindparam("user"))
        .order_by(*(column.desc() for column in order))
        .limit(bindparam("limit"))
    )


@dataclass(frozen=True)
class _Prepared:
    """A statement as a driver takes it: its parameters in their places, or by name where `places` is None."""

    sql: str
    given: dict[str, Any]
    places: Sequence[str] | None

    def arguments(self, **values: Any) -> Any:
        every = self.given | values
        return every if self.places is None else tuple(every[name] for name in self.places)


@lru_cache(maxsize=8)
def _prepared(dialect: Dialect) -> _Prepared:
    compiled = _newest().compile(dialect=dialect)
    return _Prepared(str(compiled), dict(compiled.params), compiled.positiontup)
