"""The newest events of a few users, for answering: read row by row through an index, one statement a user."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Select, bindparam, func, select

from graph.schema import RETRACT
from graph.storage.bulk import listed
from graph.storage.database import Database
from graph.storage.tables import event_kind, interaction, item, user
from graph.storage.times import NEVER_US


@dataclass(frozen=True)
class RecentEvents:
    """Columns of length n: the events of users, within a user oldest first: by time, sequence (none = 0) and item."""

    offsets: NDArray[np.int64]  # [users + 1]: events of user u are offsets[u] to offsets[u + 1]
    item: NDArray[np.object_]  # external ids
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
    rows: list[tuple[int, int, str, int, float | None, int, int | None]] = []
    offsets = [0]
    with database.connect() as connection:
        wanted = listed(connection, list(dict.fromkeys(users)))
        query = select(user.c.external_id, user.c.id).join(wanted, wanted.c.value == user.c.external_id)
        ids: dict[str, int] = dict(connection.execute(query).all())
        for external in users:
            if external in ids:
                newest = connection.execute(_NEWEST, {"user": ids[external], "before": before, "limit": limit}).all()
                rows.extend(newest[::-1])  # type: ignore[arg-type]  # rows of the columns that are named below
            offsets.append(len(rows))
    item_id, name, kind_id, value, occurred_at, sequence = zip(*rows, strict=True) if rows else ((),) * 6
    return RecentEvents(
        offsets=np.array(offsets, np.int64),
        item=np.array(name, object),
        item_id=np.array(item_id, np.int64),
        kind_id=np.array(kind_id, np.int64),
        value=np.array(value, np.float64),  # None becomes nan
        occurred_at=np.array(occurred_at, np.int64),
        sequence=np.array([-1 if number is None else number for number in sequence], np.int64),
        is_known=np.array([external in ids for external in users], np.bool_),
    )


def _newest() -> "Select[tuple[int, str, int, float | None, int, int | None]]":
    event, later = interaction.c, interaction.alias("later").c
    retract = select(event_kind.c.id).where(event_kind.c.name == RETRACT).scalar_subquery()
    withdrawn = select(later.id).where(
        later.retracts == event.event_id, later.kind_id == retract, later.occurred_at < bindparam("before")
    )
    order = (event.occurred_at, func.coalesce(event.sequence, 0), event.item_id, event.id)
    return (
        select(event.item_id, item.c.external_id, event.kind_id, event.value, event.occurred_at, event.sequence)
        .join(item, item.c.id == event.item_id)
        .where(event.user_id == bindparam("user"), event.occurred_at < bindparam("before"), event.kind_id != retract)
        .where(~withdrawn.exists())
        .order_by(*(column.desc() for column in order))
        .limit(bindparam("limit"))
    )


_NEWEST = _newest()
