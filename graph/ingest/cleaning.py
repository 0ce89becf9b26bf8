"""Cleaning that changes what the data mean: off unless asked for, and told in the summary.

A file is read first to learn what is usual in it, then to load it; so it cannot come from standard input. Where numbers
and events are cleaned it is read three times: which events go depends on which numbers do.
    numbers     an outlier counts as missing; what is missing is filled, or its row goes     numeric_fields.py
    events      bots, repeats within a moment, k-core                                        event_filters.py
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from graph.arrays import Bools
from graph.ingest.batch import LINE
from graph.ingest.event_filters import EventFilters, choose, keys_of
from graph.ingest.mapping import Events, Items, TableMapping, TableName, Users
from graph.ingest.normalise import Normal
from graph.ingest.numeric_fields import METHODS, MISSING, FieldRule, Missing, NumericFields, Outliers
from graph.schema import RETRACT
from graph.storage.errors import BadInputError
from graph.storage.times import SECOND_US


@dataclass(frozen=True)
class Cleaning:
    """Fields are named `events.value`, `items.<attribute>`, `users.<attribute>`."""

    missing: Mapping[str, Missing] = field(default_factory=dict)
    outliers: Mapping[str, Outliers] = field(default_factory=dict)
    events: EventFilters = field(default_factory=EventFilters)

    def check(self, tables: Mapping[TableName, TableMapping]) -> None:
        """Raises BadInputError for what none of the tables that are to be loaded has."""
        there = [f"{name}.{each}" for name, table in tables.items() for each in _columns(table)]
        for name in (*self.missing, *self.outliers):
            if name not in there:
                known = f"What is loaded has {', '.join(there)}." if there else "What is loaded has no such field."
                raise BadInputError(f"There is no field {name!r} to clean.", hint=known)
        if self.events and "events" not in tables:
            hint = "Leave --drop-bots, --repeats-within-s and --k-core out, or load events too."
            raise BadInputError("There are no events to clean.", hint=hint)

    def touches(self, name: TableName, table: TableMapping) -> bool:
        return bool(self.rules(name, table) or (name == "events" and self.events))

    def rules(self, name: str, table: TableMapping) -> list[FieldRule]:
        """The rules for one table's numeric fields."""
        columns = {f"{name}.{each}": column for each, column in _columns(table).items()}
        return [
            FieldRule(each, column, self.missing.get(each), self.outliers.get(each))
            for each, column in columns.items()
            if each in self.missing or each in self.outliers
        ]


NOTHING = Cleaning()

Batches = Callable[[], Iterator[tuple[pl.DataFrame, Normal]]]
"""Starts reading a file from its beginning: source rows, and what became of them."""


@dataclass
class EventCleaner:
    """Cleans a file's events, batch after batch in the order of the file."""

    fields: NumericFields
    stays: Bools | None = None
    """bool `[n]` over the normalised rows of the whole file; None keeps all."""
    dropped: dict[str, int] = field(default_factory=dict)
    _done: int = 0

    def next_batch(self, height: int) -> Callable[[pl.DataFrame], pl.DataFrame]:
        """What cleans the next `height` normalised rows; their place among these is their column `row`."""
        begin = self._done
        self._done += height

        def clean(rows: pl.DataFrame) -> pl.DataFrame:
            rows = self.fields.apply(rows)
            return rows if self.stays is None else rows.filter(pl.Series(self.stays[begin + rows["row"].to_numpy()]))

        return clean


def clean_rows(cleaning: Cleaning, name: str, table: Items | Users, batches: Batches) -> NumericFields | None:
    """What cleans the source rows of items or users, whose file it reads once; None where nothing is asked for."""
    fields = NumericFields(cleaning.rules(name, table))
    if not fields.rules:
        return None
    fields.fit(rows.filter(pl.col(LINE).is_in(normal.rows[LINE].implode())) for rows, normal in batches())
    return fields


def clean_events(cleaning: Cleaning, table: Events, batches: Batches) -> EventCleaner | None:
    """The same for normalised events; their ids are made from what the source said, so they are cleaned behind that."""
    rules = [replace(rule, column="value") for rule in cleaning.rules("events", table)]
    if not rules and not cleaning.events:
        return None
    fields = NumericFields(rules, group=pl.col("kind"), spared=pl.col("kind") == RETRACT)
    if rules:
        fields.fit(normal.rows for _, normal in batches())
    if not cleaning.events:
        return EventCleaner(fields)
    seen, n = [], 0
    for _, normal in batches():
        seen.append(keys_of(fields.apply(normal.rows.with_row_index("row", offset=n))))
        n += normal.rows.height
    stays, dropped = choose(cleaning.events, seen, n)
    fields.start_over()
    return EventCleaner(fields, stays, dropped)


def told(fields: NumericFields | None, dropped: Mapping[str, int] | None = None) -> list[str]:
    """What was done, for the summary."""
    changed = dict(fields.counts) if fields else {}
    return [f"cleaned: {count:,} {what}" for what, count in (changed | dict(dropped or {})).items()]


def parse(
    missing: Sequence[str],
    outliers: Sequence[str],
    *,
    bots_per_hour: int | None = None,
    repeats_within_s: float | None = None,
    k_core: int | None = None,
) -> Cleaning:
    """From the command line: `FIELD=drop`, `FIELD=zscore:3`. Raises BadInputError."""
    for name, value in (
        ("--drop-bots", bots_per_hour),
        ("--repeats-within-s", repeats_within_s),
        ("--k-core", k_core),
    ):
        if value is not None and not value > 0:
            raise BadInputError(f"{name} {value:g} must be more than nothing.", hint="Leave it out to keep all events.")
    within_us = None if repeats_within_s is None else round(repeats_within_s * SECOND_US)
    return Cleaning(
        missing=dict(_missing(text) for text in missing),
        outliers=dict(_outliers(text) for text in outliers),
        events=EventFilters(bots_per_hour, within_us, k_core),
    )


def _missing(text: str) -> tuple[str, Missing]:
    name, _, what = text.partition("=")
    for known in MISSING:
        if what == known:
            return name, known
    raise BadInputError(f"--missing {text} is not understood.", hint=f"Write FIELD={'|'.join(MISSING)}.")


def _outliers(text: str) -> tuple[str, Outliers]:
    name, _, what = text.partition("=")
    said, _, limit = what.partition(":")
    for method, usual in METHODS.items():
        if said == method:
            try:
                reach = float(limit) if limit else usual
            except ValueError:
                break
            if 0 < reach < float("inf"):
                return name, Outliers(method, reach)
    raise BadInputError(
        f"--outliers {text} is not understood.", hint="Write FIELD=zscore:3 or FIELD=iqr:1.5; the numbers are usual."
    )


def _columns(table: TableMapping) -> dict[str, str]:
    """Our name of each field that may be a number -> the source's column."""
    if isinstance(table, Events):
        return {"value": table.value} if table.value else {}
    return dict(table.attributes) if isinstance(table, Items | Users) else {}
