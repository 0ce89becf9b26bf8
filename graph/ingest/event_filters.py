"""Events that say little: those of bots, the same one again within a moment, and what too few users or items share.

Decided on a first reading over all events of a file, which keeps 40 bytes a row; the next one leaves them out.
Retractions always stay: what they take back may be in the store from another file.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from graph.arrays import Bools
from graph.schema import RETRACT
from graph.storage.times import SECOND_US

HOUR_US = 3_600 * SECOND_US


@dataclass(frozen=True)
class EventFilters:
    """None: off. In this order, each over what the ones before have left."""

    bots_per_hour: int | None = None
    """Users with more events than that in one hour of the clock, [h, h + 1 h), are bots: all their events go."""
    repeats_within_us: int | None = None
    """Of the same user, item and kind again less than that after the time before, only the first of the run stays."""
    k_core: int | None = None
    """Users and items with fewer events go, until all that are left have as many."""

    def __bool__(self) -> bool:
        return any(value is not None for value in (self.bots_per_hour, self.repeats_within_us, self.k_core))


def keys_of(events: pl.DataFrame) -> pl.DataFrame:
    """What is remembered of each event (columns of columns.EVENTS, and `row`): hashes of its ids, and the time."""
    return events.select(
        row=pl.col("row").cast(pl.Int64),
        user=pl.col("user").hash(),
        item=pl.col("item").hash(),
        kind=pl.col("kind").hash(),
        occurred_at="occurred_at",
        exempt=pl.col("kind") == RETRACT,
    )


def choose(filters: EventFilters, batches: Iterable[pl.DataFrame], n: int) -> tuple[Bools, dict[str, int]]:
    """(bool `[n]`: which of a file's n events stay, by their `row`; how many went, by reason in words).

    batches: frames of `keys_of`.
    """
    stays = np.zeros(n, np.bool_)
    parts = list(batches)
    if not parts:
        return stays, {}
    events = pl.concat(parts)
    left = events.filter(~pl.col("exempt"))
    went: dict[str, int] = {}
    if filters.bots_per_hour is not None:
        hours = left.group_by("user", pl.col("occurred_at") // HOUR_US).len()
        bots = hours.filter(pl.col("len") > filters.bots_per_hour)["user"].unique()
        kept = left.filter(~pl.col("user").is_in(bots.implode()))
        reason = (
            f"events of {len(bots):,} bots, which had more than {filters.bots_per_hour:,} events in an hour, dropped"
        )
        went[reason] = len(left) - len(kept)
        left = kept
    if filters.repeats_within_us is not None:
        same = ["user", "item", "kind"]
        ordered = left.sort(*same, "occurred_at", "row")
        since = pl.col("occurred_at").diff().over(same)
        kept = ordered.filter(since.is_null() | (since >= filters.repeats_within_us))
        went[f"events repeated within {filters.repeats_within_us / SECOND_US:g} s dropped"] = len(left) - len(kept)
        left = kept
    if filters.k_core is not None:
        kept = _core(left, filters.k_core)
        went[f"events outside the {filters.k_core}-core dropped"] = len(left) - len(kept)
        left = kept
    for staying in (left, events.filter(pl.col("exempt"))):
        stays[staying["row"].to_numpy()] = True
    return stays, {reason: count for reason, count in went.items() if count}


def _core(events: pl.DataFrame, k: int) -> pl.DataFrame:
    """The k-core of users and items (Seidman 1983), by taking away what has too few until nothing has."""
    user = events["user"].rank("dense").to_numpy() - 1
    item = events["item"].rank("dense").to_numpy() - 1
    rows = np.arange(len(events))
    while len(rows):
        fine = (np.bincount(user[rows])[user[rows]] >= k) & (np.bincount(item[rows])[item[rows]] >= k)
        if fine.all():
            break
        rows = rows[fine]
    return events[rows]
