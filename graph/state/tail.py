"""What the store has that a mirror lacks, and whether the mirror is one of this store at all.

Numbers of rows do not commit in order on PostgreSQL. So the newest OVERLAP numbers are read again, and below them the
rows are counted: a row that came late there, or one that has gone, shows in the count, and then all is read anew.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import Table, func, select

from graph.arrays import Int64s
from graph.event_columns import EventColumns, event_columns, read_columns, read_few_columns
from graph.ids import IdMap
from graph.reading import read_all_ids
from graph.schema import RETRACT
from graph.state.mirror import Mirror, Retractions
from graph.storage.database import Database
from graph.storage.tables import interaction, user

OVERLAP = 20_000
SAMPLE = 200
"""Rows that are compared one by one, spread evenly: another store with as many rows is found out by them."""


class StaleError(Exception):
    """The mirror cannot be brought up to date; says why."""


def read_mirror_rows(database: Database, mirror: Mirror) -> tuple[EventColumns, Retractions]:
    """Rows of `interaction` that `mirror` lacks; of an empty mirror all. Raises StaleError."""
    ids = (mirror.events.id, mirror.retractions.id)
    low = _low(*ids)
    recent = np.concatenate([known[known > low] for known in ids])
    with ThreadPoolExecutor(1) as beside:  # SQLite counts without Python's lock
        below = sum(len(known) for known in ids) - len(recent)
        checked = beside.submit(_check_below, database, interaction, below, low)
        _check_sample(database, mirror)
        columns, retractions = _rows_above(database, mirror, low)
        checked.result()

    read = np.concatenate([columns["id"], retractions.id])
    if not np.isin(recent, read).all():
        raise StaleError("events have gone from the store")
    new = ~np.isin(columns["id"], recent)
    if not new.all():
        columns = {name: column[new] for name, column in columns.items()}
    added = ~np.isin(retractions.id, recent)
    return columns, Retractions(
        retractions.id[added], retractions.event[added], retractions.occurred_at[added], retractions.recorded_at[added]
    )


def _rows_above(database: Database, mirror: Mirror, low: int) -> tuple[EventColumns, Retractions]:
    retract = [kind.id for kind in mirror.kinds if kind.name == RETRACT]
    row = interaction.c
    with database.connect() as connection:
        high = connection.execute(select(func.coalesce(func.max(row.id), 0))).scalar_one()
    shown = event_columns().where(row.id <= high, row.kind_id.not_in(retract or [-1]))
    columns = read_columns(database, shown, above=low)
    withdrawn = interaction.alias("withdrawn")
    found = database.read(
        select(row.id, withdrawn.c.id.label("event"), row.occurred_at, row.recorded_at)
        .outerjoin_from(interaction, withdrawn, withdrawn.c.event_id == row.retracts)
        .where(row.kind_id.in_(retract), row.retracts.is_not(None), row.id > low, row.id <= high)
    )
    return columns, Retractions(*(np.asarray(found[name].fill_null(-1), np.int64) for name in found.column_names))


def read_users(database: Database, mirror: Mirror) -> tuple[IdMap, Int64s]:
    """All users, of which the mirror's come first, and when each was recorded. Raises StaleError."""
    known = mirror.users.surrogate
    low = _low(known)
    below = int(np.searchsorted(known, low, side="right"))
    _check_below(database, user, below, low)
    newest, recorded_at = read_all_ids(database, user, above=low)
    again = len(known) - below
    if not np.array_equal(newest.surrogate[:again], known[below:]):
        raise StaleError("a user came late, or has gone")
    if not newest.external[:again].equals(mirror.users.external[below:]):
        raise StaleError("users have other names here")
    if again == len(newest):
        return mirror.users, mirror.users_recorded_at
    users = mirror.users.and_then(newest.from_place(again))
    return users, np.concatenate([mirror.users_recorded_at, recorded_at[again:]])


def _low(*known: npt.NDArray[np.integer[Any]]) -> int:
    return max((int(numbers.max()) - OVERLAP for numbers in known if len(numbers)), default=-1)


def _check_below(database: Database, table: Table, expected: int, low: int) -> None:
    """Counting all is a pass over the smallest index, counting the few above `low` is nothing."""
    if low < 0 and not expected:
        return
    every, above = select(func.count()).select_from(table), select(func.count()).where(table.c.id > low)
    with database.connect() as connection:
        found = connection.execute(select(every.scalar_subquery() - above.scalar_subquery())).scalar_one()
    if found != expected:
        raise StaleError(f"{found} rows of {table.name} where {expected} were")


def _check_sample(database: Database, mirror: Mirror) -> None:
    events, n = mirror.events, len(mirror.events)
    if not n:
        return
    place = np.unique(np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64))
    ours = events.take(place)
    order = np.argsort(ours.id)
    ids = ours.id[order].tolist()
    found = read_few_columns(database, event_columns().where(interaction.c.id.in_(ids)))
    there = np.argsort(found["id"])
    kind_ids = np.array([kind.id for kind in mirror.kinds])
    expected = {
        "id": ours.id,
        "user": mirror.users.surrogate[ours.user],
        "item": mirror.items[ours.item],
        "kind": kind_ids[ours.kind],
        "value": ours.value,
        "occurred_at": ours.occurred_at,
        "sequence": ours.sequence,
        "session": ours.session,
        "recorded_at": mirror.recorded_at[place],
    }
    for name, column in expected.items():
        if not np.array_equal(found[name][there], column[order], equal_nan=name == "value"):
            raise StaleError("the store holds other events")
    few = np.unique(ours.user)
    names = database.read(
        select(user.c.id, user.c.external_id)
        .where(user.c.id.in_(mirror.users.surrogate[few].tolist()))
        .order_by(user.c.id)
    )
    if names["external_id"].to_pylist() != mirror.users.externals_of(few):
        raise StaleError("the store holds other users")
