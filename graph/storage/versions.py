"""Versions of items and categories: appended, never overwritten; what says nothing new is not appended.

A version holds from its `valid_from` until the next one's; of two with the same `valid_from` the later recorded holds.
"""

from collections.abc import Sequence

import polars as pl
from sqlalchemy import BigInteger, Connection, Table, select, text, update

from graph.storage.bulk import append_rows, listed
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.times import EVER_US

CATALOG_LOCK = 0x63617461
"""PostgreSQL advisory lock: catalog writers take turns, for each decides by looking at what holds now."""


def lock_catalog(connection: Connection) -> None:
    """Until the transaction ends; SQLite's writers take turns anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({CATALOG_LOCK})"))


def with_valid_from(frame: pl.DataFrame, known: pl.DataFrame, owner: str, recorded_at: int) -> pl.DataFrame:
    """Rows without a time hold from ever if nothing is known of their `owner`, else from now: in place of what holds,
    also where a clock that was set back says that this will begin only later."""
    newest = known.group_by(owner).agg(pl.col("valid_from").max().alias("newest"))
    frame = frame.join(newest, on=owner, how="left", maintain_order="left")
    now = pl.max_horizontal(pl.lit(recorded_at, pl.Int64), "newest")
    default = pl.when(pl.col("newest").is_null()).then(pl.lit(EVER_US)).otherwise(now)
    return frame.with_columns(pl.col("valid_from").fill_null(default)).drop("newest")


def last_of_each_time(frame: pl.DataFrame, outcomes: Outcomes, owner: str) -> pl.DataFrame:
    """Of rows that speak of one `owner` at one time, the last one counts."""
    keys = [owner, "valid_from"]
    kept = frame.unique(keys, keep="last", maintain_order=True)
    earlier = frame.filter(~pl.col("row").is_in(kept["row"].implode()))
    same = earlier.join(
        kept.drop("row"), on=[name for name in kept.columns if name != "row"], how="semi", nulls_equal=True
    )
    outcomes.mark(earlier["row"], Outcome.SUPERSEDED, "a later row of the batch says otherwise")
    outcomes.mark(same["row"], Outcome.UNCHANGED)
    return kept


def news(
    frame: pl.DataFrame, known: pl.DataFrame, outcomes: Outcomes, owner: str, content: Sequence[str]
) -> pl.DataFrame:
    """The rows that say something else than the version that holds just before or at their time.

    frame: `row`, owner, `valid_from` and `content`. known: owner, `id`, `valid_from`, `content` of stored versions.
    """
    shared = [owner, "valid_from", *content]
    line = pl.concat(
        [
            known.select(*shared, pl.col("id").alias("rank"), pl.lit(None, pl.UInt32).alias("row")),
            frame.select(*shared, (pl.col("row").cast(pl.Int64) + 2**62).alias("rank"), "row"),
        ]
    ).sort(owner, "valid_from", "rank")
    repeats = pl.all_horizontal(
        pl.col(owner) == pl.col(owner).shift(1), *(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in content)
    ).fill_null(False)
    unchanged = line.filter(repeats & pl.col("row").is_not_null())["row"]
    outcomes.mark(unchanged, Outcome.UNCHANGED)
    return frame.filter(~pl.col("row").is_in(unchanged.implode()))


def append_versions(
    connection: Connection, table: Table, frame: pl.DataFrame, known: pl.DataFrame, owner: str, recorded_at: int
) -> None:
    """Appends `frame` (owner, `valid_from`, columns of `table`) and moves `is_current` to the newest of each owner."""
    newest = (
        frame.sort("valid_from", maintain_order=True)
        .unique(owner, keep="last")
        .select(owner, "valid_from", pl.lit(True).alias("newest"))
    )
    current = known.filter("is_current").select(owner, "id", pl.col("valid_from").alias("current_from"))
    newest = newest.join(current, on=owner, how="left").filter(
        pl.col("current_from").is_null() | (pl.col("current_from") <= pl.col("valid_from"))
    )
    replaced = newest["id"].drop_nulls().to_list()
    if replaced:
        ids = select(listed(connection, replaced, BigInteger).c.value)
        connection.execute(update(table).where(table.c.id.in_(ids)).values(is_current=False))
    rows = frame.join(newest.select(owner, "valid_from", "newest"), on=[owner, "valid_from"], how="left")
    rows = rows.with_columns(
        pl.col("newest").fill_null(False).alias("is_current"), pl.lit(recorded_at, pl.Int64).alias("recorded_at")
    )
    append_rows(connection, table, rows.select(c.name for c in table.c if c.name in rows.columns))
