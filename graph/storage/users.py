"""Users: upsert, get, list. They are not versioned: their attributes are no model inputs by default."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import pyarrow as pa
from sqlalchemy import Connection, bindparam, func, select, update

from graph.storage.bulk import append_rows, listed, read_frame
from graph.storage.changes import append_change, names
from graph.storage.columns import USERS, canonical
from graph.storage.database import Database
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.rules import canonical_json, id_rules
from graph.storage.tables import interaction, user
from graph.storage.times import now_us

_KNOWN = {"user": pl.String(), "id": pl.Int64(), "known": pl.String()}


@dataclass(frozen=True)
class User:
    user: str
    attributes: Mapping[str, Any] | None
    recorded_at: int  # us, when we first heard of the user


def upsert_users(database: Database, users: pa.Table, *, recorded_at: int | None = None) -> Outcomes:
    """Stores the attributes of each row of columns.USERS in place of those before. Raises BadInputError."""
    recorded_at = now_us() if recorded_at is None else recorded_at
    frame = pl.DataFrame(canonical(users, USERS)).with_row_index("row")
    outcomes = Outcomes(len(frame))
    frame = outcomes.enforce(frame, id_rules("user"))
    frame = canonical_json(frame, outcomes, "attributes")
    kept = frame.unique("user", keep="last", maintain_order=True)
    superseded = frame.filter(~pl.col("row").is_in(kept["row"].implode()))["row"]
    outcomes.mark(superseded, Outcome.SUPERSEDED, "a later row of the batch says otherwise")
    return database.transact(lambda connection: _store(connection, kept, outcomes.copy(), recorded_at))


def _store(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes, recorded_at: int) -> Outcomes:
    wanted = listed(connection, frame["user"].to_list())
    query = select(user.c.external_id, user.c.id, user.c.attributes).join(wanted, wanted.c.value == user.c.external_id)
    frame = frame.join(read_frame(connection, query, _KNOWN), on="user", how="left", maintain_order="left")
    is_known = pl.col("id").is_not_null()
    unchanged = is_known & pl.col("attributes").eq_missing(pl.col("known"))
    frame = outcomes.refuse(frame, unchanged, Outcome.UNCHANGED, "")
    if frame.is_empty():
        return outcomes
    new = frame.filter(~is_known).select(pl.col("user").alias("external_id"), "attributes")
    append_rows(connection, user, new.with_columns(pl.lit(recorded_at).alias("recorded_at")))
    changed = frame.filter(is_known)
    if not changed.is_empty():
        values = [text and json.loads(text) for text in changed["attributes"]]
        connection.execute(
            update(user).where(user.c.id == bindparam("number")).values(attributes=bindparam("given")),
            [{"number": number, "given": value} for number, value in zip(changed["id"], values, strict=True)],
        )
    append_change(connection, "catalog", {"profiles": names(frame["user"].to_list())})
    return outcomes


def get_users(database: Database, users: Sequence[str]) -> dict[str, User]:
    """The known ones among `users`, by external id."""
    columns = user.c
    with database.connect() as connection:
        wanted = listed(connection, users)
        query = select(columns.external_id, columns.attributes, columns.recorded_at)
        rows = connection.execute(query.join(wanted, wanted.c.value == columns.external_id))
        return {row[0]: User(*row) for row in rows}


def list_users(database: Database, *, after: str = "", limit: int = 100) -> list[User]:
    """At most `limit` users in the order of their external ids' code points, those above `after`."""
    columns = user.c
    external = columns.external_id
    query = select(columns.external_id, columns.attributes, columns.recorded_at)
    with database.connect() as connection:
        rows = connection.execute(query.where(external > after).order_by(external).limit(limit))
        return [User(*row) for row in rows]


def count_users(database: Database, *, active_before: int) -> int:
    """How many users have an event of a time before that (us), retracted or not: one look into the index a user."""
    event = interaction.c
    acted = select(event.id).where(event.user_id == user.c.id, event.occurred_at < active_before).exists()
    with database.connect() as connection:
        return connection.execute(select(func.count()).select_from(user).where(acted)).scalar_one()
