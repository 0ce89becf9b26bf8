"""The newest events of a few users, for answering: read through an index, one statement a user.

Serving asks this thousands of times a second, so the statement is compiled once and given to the driver itself. It
answers in one row, each column written as one text: SQLite's driver lets go of the interpreter's lock at every row, and
who wants it back waits for all other threads; and fifty rows of five Python objects cost more than reading them did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sqlalchemy import ColumnElement, Dialect, Select, Text, and_, bindparam, func, literal_column, outerjoin, select
from sqlalchemy import cast as cast_in_sql

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
    value: NDArray[np.float64]  # nan: none; to 15 digits, as SQLite writes them
    occurred_at: NDArray[np.int64]  # us
    sequence: NDArray[np.int64]  # -1: none
    is_known: NDArray[np.bool_]  # [users]: whether the store has heard of the user
    next_at: NDArray[np.int64]  # [users], us: of the first event that is recorded and not before that time


def recent_events(
    database: Database, users: Sequence[str], *, limit: int, before_us: int | None = None
) -> RecentEvents:
    """The newest `limit` events of each user before a time (us, none: all), without retractions and what they withdrew.

    `users` may repeat; one that the store does not know has no events.
    """
    before = NEVER_US if before_us is None else before_us
    newest = _prepared(database.engine.dialect)
    texts: list[Sequence[str]] = []
    counts, is_known, next_at = [], [], []
    with database.cursor() as cursor:
        for external in users:
            cursor.execute(newest.sql, newest.arguments(user=external, before=before, limit=limit))
            rows, next_of_user, *columns = cast("Sequence[Any]", cursor.fetchone())
            has_events = columns[0] is not None
            is_known.append(rows > 0)
            next_at.append(NEVER_US if next_of_user is None else next_of_user)
            counts.append(rows if has_events else 0)
            if has_events:
                texts.append(columns)
    item_id, kind_id, value, occurred_at, sequence = zip(*texts, strict=True) if texts else ((),) * 5
    offsets = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    # Each user's newest come first.
    order = np.repeat(offsets[:-1] + offsets[1:] - 1, counts) - np.arange(offsets[-1])
    return RecentEvents(
        offsets=offsets,
        item_id=_numbers(item_id, np.int64)[order],
        kind_id=_numbers(kind_id, np.int64)[order],
        value=_numbers(value, np.float64)[order],
        occurred_at=_numbers(occurred_at, np.int64)[order],
        sequence=_numbers(sequence, np.int64)[order],
        is_known=np.array(is_known, np.bool_),
        next_at=np.array(next_at, np.int64),
    )


def _numbers(texts: Sequence[str], dtype: DTypeLike) -> NDArray[Any]:
    return np.fromstring(" ".join(texts), dtype, sep=" ")


def _newest() -> "Select[Any]":
    """One row: of how many events, when the next happens, and their columns as texts, newest first. Of a user without
    events there is one of nothing, of one whom the store has not heard of none.
    """
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
    newest = (
        select(event.item_id, event.kind_id, event.value, event.occurred_at, event.sequence)
        .select_from(outerjoin(user, interaction, counts))
        .where(user.c.external_id == bindparam("user"))
        .order_by(*(column.desc() for column in order))
        .limit(bindparam("limit"))
        .subquery()
        .c
    )

    space = cast("str", literal_column("' '"))  # a string would become a parameter that only SQLAlchemy can fill in

    def written(column: ColumnElement[Any], none: str | None = None) -> ColumnElement[Any]:
        """Both databases aggregate a sorted subquery in its order."""
        text = cast_in_sql(column, Text)
        return func.aggregate_strings(text if none is None else func.coalesce(text, none), space)

    asked = select(user.c.id).where(user.c.external_id == bindparam("user")).scalar_subquery()
    ahead = event.user_id == asked, event.occurred_at >= bindparam("before")
    return select(
        func.count(),
        select(func.min(event.occurred_at)).where(*ahead).scalar_subquery(),
        written(newest.item_id),
        written(newest.kind_id),
        written(newest.value, "nan"),
        written(newest.occurred_at),
        written(newest.sequence, "-1"),
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
