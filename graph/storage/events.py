"""Appending events: checked, resolved and written column by column, in one transaction with its change."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

import polars as pl
import psycopg
import pyarrow as pa
from sqlalchemy import Connection, select

from graph.schema import RETRACT
from graph.storage.bulk import append_rows, listed, plain_rows, read_frame
from graph.storage.changes import append_change, names
from graph.storage.columns import EVENTS, canonical
from graph.storage.database import Database
from graph.storage.event_ids import EventIds
from graph.storage.externals import create_missing, ids_of, resolve
from graph.storage.kinds import read_kinds
from graph.storage.outcomes import Outcome, Outcomes, Rule
from graph.storage.rules import FUTURE_TOLERANCE_US, canonical_json, id_rules, time_rules
from graph.storage.stubs import create_stubs
from graph.storage.tables import event_kind, interaction, item, user
from graph.storage.times import now_us

UnknownItems = Literal["reject", "create"]

MANY = 10_000
SAMPLE = 1_000

CONTENT = ("user", "item", "kind", "value", "session_key", "sequence", "context", "retracts", "occurred_at")
"""What makes two events with one event_id the same event. When we learned of it does not."""
_STORED = {name: kind for name, kind in pl.DataFrame(EVENTS.empty_table()).schema.items() if name != "recorded_at"}


def append_events(
    database: Database,
    events: pa.Table,
    *,
    source: str,
    unknown_items: UnknownItems = "reject",
    recorded_at: int | None = None,
    ids: EventIds | None = None,
    future_tolerance_us: int = FUTURE_TOLERANCE_US,
    clean: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
) -> Outcomes:
    """Stores a batch (columns.EVENTS) and says of each row what became of it. Sending a batch again is harmless.

    `recorded_at` (us) is the start of the load, now by default; rows may bring their own. `source` names where the
    events come from; it goes into the ids of rows without one, and a load of several batches passes its `ids` along.
    `clean` may change values and leave out rows (`row` is a row's place) once ids are made from what the source said:
    the same file cleaned otherwise then conflicts with what is stored, and doubles nothing.
    Raises BadInputError for columns that do not fit, StoreUnavailableError.
    """
    recorded_at = now_us() if recorded_at is None else recorded_at
    frame = pl.DataFrame(pl.from_arrow(canonical(events, EVENTS))).with_row_index("row")
    outcomes = Outcomes(len(frame))
    frame = _obeying(frame, outcomes, latest=recorded_at + future_tolerance_us)
    frame = frame.with_columns(pl.col("recorded_at").fill_null(recorded_at))
    frame = (ids or EventIds(source)).fill(frame)
    if clean is not None:
        cleaned = clean(frame)
        outcomes.mark(frame.filter(~pl.col("row").is_in(cleaned["row"].implode()))["row"], Outcome.CLEANED)
        frame = cleaned
    frame = _first_of_each_id(frame, outcomes)

    def store(connection: Connection, *, as_new: bool) -> Outcomes:
        return _store(connection, frame, outcomes.copy(), _Terms(unknown_items, recorded_at, as_new))

    # Looking every id up costs as much as half of the writing. A large batch of which a sample is new is written as if
    # all of it were; the unique index says if that was wrong, and then it is looked up after all. Small ones keep
    # SQLite's own check of foreign keys.
    is_large = len(frame) >= MANY
    if is_large and _seems_new(database, frame):
        with suppress(_StoredAlreadyError):
            return database.transact(lambda connection: store(connection, as_new=True), resolved=True)
    return database.transact(lambda connection: store(connection, as_new=False), resolved=is_large)


def _seems_new(database: Database, frame: pl.DataFrame) -> bool:
    with database.connect() as connection:
        return not _stored_ids(connection, frame["event_id"].gather_every(len(frame) // SAMPLE).to_list())


def _obeying(frame: pl.DataFrame, outcomes: Outcomes, *, latest: int) -> pl.DataFrame:
    """Only the rows that could be events, whatever the database holds."""
    value, is_retraction, names_event = pl.col("value"), pl.col("kind") == RETRACT, pl.col("retracts").is_not_null()
    rules: list[Rule] = [
        *id_rules("kind"),
        (is_retraction & ~names_event, Outcome.UNKNOWN_RETRACT, "a retraction names the event in `retracts`"),
        (~is_retraction & names_event, Outcome.UNKNOWN_KIND, f"only an event of kind {RETRACT} names another"),
        (pl.col("user").is_null() & ~is_retraction, Outcome.BAD_ID, "user is missing"),
        (pl.col("item").is_null() & ~is_retraction, Outcome.BAD_ID, "item is missing"),
        (value.is_nan() | value.is_infinite(), Outcome.BAD_VALUE, "value is not finite"),
        (pl.col("sequence") < 0, Outcome.BAD_VALUE, "sequence is negative"),
        (pl.col("occurred_at").is_null(), Outcome.BAD_TIME, "occurred_at is missing"),
        *time_rules("occurred_at", latest=latest),
        *time_rules("recorded_at", latest=latest),
    ]
    for column in ("event_id", "user", "item", "session_key", "retracts"):
        rules += id_rules(column, nullable=True)
    frame = outcomes.enforce(frame, rules)
    return canonical_json(frame, outcomes, "context")


def _first_of_each_id(frame: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    """Drops later rows with an event_id that stands earlier in the batch."""
    repeated = frame["event_id"].is_duplicated()
    if not repeated.any():
        return frame
    first = frame.filter(repeated).unique("event_id", keep="first", maintain_order=True)
    later = frame.filter(repeated & ~frame["row"].is_in(first["row"].implode()))
    _mark_known(later.join(first, on="event_id", suffix="_known"), outcomes, "earlier in the batch")
    return frame.filter(~frame["row"].is_in(later["row"].implode()))


def _mark_known(pairs: pl.DataFrame, outcomes: Outcomes, where: str) -> None:
    """Tells duplicates from conflicts; `pairs` has each column of CONTENT a second time, as `…_known`."""
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_known")) for name in CONTENT)
    outcomes.mark(pairs.filter(same)["row"], Outcome.DUPLICATE)
    differing = pl.concat_str(
        [pl.when(~pl.col(name).eq_missing(pl.col(f"{name}_known"))).then(pl.lit(name)) for name in CONTENT],
        separator=", ",
        ignore_nulls=True,
    )
    reason = pl.lit("event ") + pl.col("event_id") + pl.lit(f" stands {where} with another ") + differing
    outcomes.refuse(pairs, ~same, Outcome.CONFLICT, reason)


class _StoredAlreadyError(Exception):
    """An event that was written as new is in the store; the transaction has to end without it."""


@dataclass(frozen=True)
class _Terms:
    """`as_new`: ids are not looked up, the unique index says whether one of them is stored."""

    unknown_items: UnknownItems
    loaded_at: int
    as_new: bool


def _store(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes, terms: _Terms) -> Outcomes:
    kinds = {kind.name: kind.id for kind in read_kinds(connection)}
    frame = frame.with_columns(ids_of(frame["kind"], kinds, "kind_id"))
    reason = pl.lit("unknown event kind ") + pl.col("kind")
    frame = outcomes.refuse(frame, pl.col("kind_id").is_null(), Outcome.UNKNOWN_KIND, reason)

    is_retraction = frame["kind"] == RETRACT
    others = frame.filter(~is_retraction) if is_retraction.any() else frame
    stored = [_append(connection, others, outcomes, terms)]
    if is_retraction.any():  # after the others: one may withdraw an event of its own batch
        retractions = _with_targets(connection, frame.filter(is_retraction), outcomes)
        stored.append(_append(connection, retractions, outcomes, replace(terms, unknown_items="reject")))
    appended = pl.concat(stored)
    if not appended.is_empty():
        users, items = appended["user"].unique().to_list(), appended["item"].unique().to_list()
        append_change(connection, "events", {"count": len(appended), "users": names(users), "items": names(items)})
    return outcomes


def _append(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes, terms: _Terms) -> pl.DataFrame:
    """Writes the rows that are new, or all `as_new` ones; returns their users and items. Raises _StoredAlreadyError."""
    if not terms.as_new:
        frame = _without_stored(connection, frame, outcomes)
    if terms.unknown_items == "create" and (created := create_stubs(connection, frame, terms.loaded_at)):
        append_change(connection, "catalog", {"items": names(created)})
    items = resolve(connection, item, frame["item"])
    frame = frame.with_columns(ids_of(frame["item"], items, "item_id"))
    reason = pl.lit("unknown item ") + pl.col("item")
    frame = outcomes.refuse(frame, pl.col("item_id").is_null(), Outcome.UNKNOWN_ITEM, reason)

    users = resolve(connection, user, frame["user"])
    named = frame["user"].unique()
    if len(users) < len(named):
        new = named.filter(~named.is_in(pl.Series(users.keys(), dtype=pl.String).implode()))
        create_missing(connection, user, new, terms.loaded_at)
        users |= resolve(connection, user, new)
    frame = frame.with_columns(ids_of(frame["user"], users, "user_id"))
    filled = [c.name for c in interaction.c if c.name in frame.columns and frame[c.name].null_count() < len(frame)]
    try:
        append_rows(connection, interaction, frame.select(filled))
    except (sqlite3.IntegrityError, psycopg.errors.UniqueViolation) as error:
        if terms.as_new:
            raise _StoredAlreadyError from error
        raise
    return frame.select("user", "item")


def _without_stored(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    """Drops the rows whose event_id the database has."""
    known = _stored_ids(connection, frame["event_id"].to_list())
    if not known:
        return frame
    pairs = frame.join(_contents(connection, known), on="event_id", suffix="_known")
    _mark_known(pairs, outcomes, "in the store")
    return frame.filter(~pl.col("event_id").is_in(pl.Series(known).implode()))


def _stored_ids(connection: Connection, event_ids: Sequence[str]) -> list[str]:
    """Those of `event_ids` that the database has."""
    wanted = listed(connection, event_ids)
    query = select(interaction.c.event_id).join(wanted, wanted.c.value == interaction.c.event_id)
    return [event_id for (event_id,) in plain_rows(connection, query)]


def _with_targets(connection: Connection, frame: pl.DataFrame, outcomes: Outcomes) -> pl.DataFrame:
    """Retractions with user and item of the event they name; refuses those that name none, or another user's."""
    targets = _contents(connection, frame["retracts"].unique().to_list()).select(
        pl.col("event_id").alias("retracts"),
        *(pl.col(name).alias(f"{name}_known") for name in ("user", "item", "kind")),
    )
    frame = frame.join(targets, on="retracts", how="left", maintain_order="left")
    named = pl.lit("event ") + pl.col("retracts")
    refused = [
        (pl.col("kind_known").is_null(), named + pl.lit(" is not in the store")),
        (pl.col("kind_known") == RETRACT, named + pl.lit(" is a retraction itself and stands")),
        (pl.col("user") != pl.col("user_known"), named + pl.lit(" is another user's")),
        (pl.col("item") != pl.col("item_known"), named + pl.lit(" is about another item")),
    ]
    for bad, reason in refused:
        frame = outcomes.refuse(frame, bad, Outcome.UNKNOWN_RETRACT, reason)
    return frame.with_columns(pl.col("user_known").alias("user"), pl.col("item_known").alias("item")).drop(
        "user_known", "item_known", "kind_known"
    )


def _contents(connection: Connection, event_ids: Sequence[str]) -> pl.DataFrame:
    """The stored events with these ids, as columns.EVENTS names them."""
    wanted = listed(connection, event_ids)
    stored = interaction.c
    query = (
        select(
            stored.event_id,
            user.c.external_id.label("user"),
            item.c.external_id.label("item"),
            event_kind.c.name.label("kind"),
            stored.value,
            stored.session_key,
            stored.sequence,
            stored.context,
            stored.retracts,
            stored.occurred_at,
        )
        .join(wanted, wanted.c.value == stored.event_id)
        .join(user, user.c.id == stored.user_id)
        .join(item, item.c.id == stored.item_id)
        .join(event_kind, event_kind.c.id == stored.kind_id)
    )
    return read_frame(connection, query, _STORED)
