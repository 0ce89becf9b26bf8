"""Event kinds are rows, not code: what a kind says of interest, and how fast that fades."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from graph.schema import RETRACT
from graph.storage.changes import append_change
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.tables import event_kind

# The kinds that a new database starts with are in migrations/versions/0001_first_tables.py.


@dataclass(frozen=True)
class EventKind:
    """One kind of event. `id` 0 means: not stored yet."""

    id: int
    name: str
    weight: float  # how much one event says, a purchase = 1
    sign: int  # +1 interest, -1 dislike, 0 says nothing
    half_life_days: float | None  # None: does not fade
    middle: float | None = None  # the value that says nothing, below it the sign turns; None: values say nothing


_SAID = ("weight", "sign", "half_life_days", "middle")


def load_kinds(database: Database) -> tuple[EventKind, ...]:
    """All kinds in the order of their ids."""
    with database.connect() as connection:
        return read_kinds(connection)


def read_kinds(connection: Connection) -> tuple[EventKind, ...]:
    columns = event_kind.c
    rows = connection.execute(
        select(columns.id, columns.name, columns.weight, columns.sign, columns.half_life_days, columns.middle).order_by(
            columns.id
        )
    )
    return tuple(EventKind(*row) for row in rows)


def upsert_kinds(database: Database, kinds: Iterable[EventKind]) -> None:
    """Adds kinds and changes known ones, by name; ids are kept. Raises BadInputError."""
    wanted = list(kinds)
    for kind in wanted:
        _validate(kind)
    with database.begin() as connection:
        known = {kind.name: kind for kind in read_kinds(connection)}
        changed = []
        for kind in wanted:
            values = {name: getattr(kind, name) for name in _SAID}
            old = known.get(kind.name)
            if old is None:
                connection.execute(insert(event_kind).values(name=kind.name, **values))
            elif values != {name: getattr(old, name) for name in _SAID}:
                connection.execute(update(event_kind).where(event_kind.c.id == old.id).values(**values))
            else:
                continue
            changed.append(kind.name)
        if changed:
            append_change(connection, "catalog", {"kinds": changed})


def _validate(kind: EventKind) -> None:
    where = f"Event kind {kind.name!r}"
    if not kind.name.strip() or not kind.name.isidentifier():
        raise BadInputError(f"{where}: a name consists of letters, digits and underscores.", field="name")
    if not (math.isfinite(kind.weight) and kind.weight >= 0):
        raise BadInputError(f"{where}: the weight is a finite number of at least 0.", field="weight")
    if kind.sign not in (-1, 0, 1):
        raise BadInputError(f"{where}: the sign is -1, 0 or 1.", field="sign")
    if kind.half_life_days is not None and not (math.isfinite(kind.half_life_days) and kind.half_life_days > 0):
        raise BadInputError(f"{where}: the half-life is a finite number of days above 0.", field="half_life_days")
    if kind.middle is not None and not math.isfinite(kind.middle):
        raise BadInputError(f"{where}: the middle is a finite number.", field="middle")
    if kind.name == RETRACT and kind.sign != 0:
        raise BadInputError(f"{where} withdraws events and says nothing of interest: its sign is 0.", field="sign")
