"""What cannot be right in a store, found and named; `penchant db check`."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Integer, Table, and_, cast, func, inspect, or_, select, text

from graph.schema import RETRACT
from graph.storage.categories import known_versions
from graph.storage.cycles import cycles_over_time, told
from graph.storage.database import Database
from graph.storage.rules import CLOCK_TOLERANCE_US, FUTURE_TOLERANCE_US
from graph.storage.tables import (
    category_version,
    event_kind,
    interaction,
    item,
    item_version,
    metadata,
    model_revision,
)
from graph.storage.times import EVER_US, now_us

EXAMPLES = 3
_INVALID = text(
    "SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid"
    " WHERE pg_table_is_visible(pg_class.oid) AND NOT indisvalid ORDER BY relname"
)


@dataclass(frozen=True)
class Problem:
    what: str
    count: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = f" (e.g. {', '.join(self.examples)})" if self.examples else ""
        return f"{self.count} × {self.what}{named}"


def check(database: Database, *, artifacts: Path | None = None) -> list[Problem]:
    """All problems, none when the store is sound. With `artifacts`, also whether every registered model is there."""
    with database.connect() as connection:
        problems = [*_indexes(connection), *_orphans(connection), *_times(connection), *_versions(connection)]
        problems += [*_retractions(connection), *_values(connection), *_cycles(connection)]
        if artifacts is not None:
            problems += _models(connection, artifacts)
    return problems


def _indexes(connection: Connection) -> Iterator[Problem]:
    """A missing index makes everything slow and, if unique, lets doubles in; nothing else would tell."""
    inspector = inspect(connection)
    missing = []
    for table in metadata.sorted_tables:
        if not inspector.has_table(table.name):
            yield Problem(f"missing table {table.name}", 1)
            continue
        there = {index["name"] for index in inspector.get_indexes(table.name)}
        there |= {constraint["name"] for constraint in inspector.get_unique_constraints(table.name)}
        wanted = {str(index.name) for index in table.indexes}
        wanted |= {str(found.name) for found in table.constraints if found.name and str(found.name).startswith("uq_")}
        missing += sorted(wanted - there)
    if missing:
        yield Problem("missing index", len(missing), tuple(missing))
    if connection.dialect.name == "postgresql":
        unfinished = unfinished_indexes(connection)
        if unfinished:
            yield Problem("index whose building was interrupted", len(unfinished), tuple(unfinished))


def unfinished_indexes(connection: Connection) -> list[str]:
    """On PostgreSQL: those that an interrupted build left, which are kept up to date and never used."""
    return list(connection.execute(_INVALID).scalars())


def _orphans(connection: Connection) -> Iterator[Problem]:
    for table in metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            column, target = next(iter(key.columns)), next(iter(key.elements)).column
            dangling = column.is_not(None) & ~select(target).where(target == column).correlate(table).exists()
            yield from _rows(connection, table, dangling, f"{table.name}.{column.name} names no {target.table.name}")
    unversioned = ~select(item_version.c.id).where(item_version.c.item_id == item.c.id).exists()
    yield from _rows(connection, item, unversioned, "item without any version")


def _times(connection: Connection) -> Iterator[Problem]:
    latest = now_us() + FUTURE_TOLERANCE_US
    for name in ("occurred_at", "recorded_at"):
        time = interaction.c[name]
        yield from _rows(connection, interaction, or_(time < 0, time > latest), f"event with an impossible {name}")
    for table in (item_version, category_version):
        since = table.c.valid_from
        impossible = or_(and_(since < 0, since != EVER_US), since > now_us() + CLOCK_TOLERANCE_US)
        yield from _rows(connection, table, impossible, f"{table.name} with an impossible valid_from")


def _versions(connection: Connection) -> Iterator[Problem]:
    """Exactly one version of each item and category is current, and it is the newest."""
    for table, owner in ((item_version, "item_id"), (category_version, "category_id")):
        column = table.c[owner]
        current = func.sum(cast(table.c.is_current, Integer))
        grouped = select(column).group_by(column)
        for having, what in ((current > 1, "several current versions"), (current == 0, "no current version")):
            ids = connection.execute(grouped.having(having).order_by(column)).scalars().all()
            if ids:
                yield Problem(f"{owner} with {what}", len(ids), tuple(f"{owner} {number}" for number in ids[:EXAMPLES]))
        newer = table.alias("newer")
        is_later = or_(
            newer.c.valid_from > table.c.valid_from,
            and_(newer.c.valid_from == table.c.valid_from, newer.c.id > table.c.id),
        )
        outdated = table.c.is_current & select(newer.c.id).where(newer.c[owner] == column, is_later).exists()
        yield from _rows(connection, table, outdated, f"{table.name} that is current but not the newest")


def _values(connection: Connection) -> Iterator[Problem]:
    """SQLite has no NaN (it stores null), and takes text where a number belongs."""
    value, largest = interaction.c.value, sys.float_info.max
    finite: ColumnElement[bool]
    if connection.dialect.name == "sqlite":
        finite = func.typeof(value).in_(("real", "integer")) & value.between(-largest, largest)
    else:
        finite = value.not_in([float("nan"), float("inf"), float("-inf")])
    yield from _rows(connection, interaction, value.is_not(None) & ~finite, "event with a value that is not finite")


def _cycles(connection: Connection) -> Iterator[Problem]:
    """A cycle of the past too: training as of then would go round in it."""
    found = list(dict.fromkeys(told(cycle) for cycle, _ in cycles_over_time(known_versions(connection).sort("id"))))
    if found:
        yield Problem("cycle of categories", len(found), tuple(found[:EXAMPLES]))


def _retractions(connection: Connection) -> Iterator[Problem]:
    target = interaction.alias("target")
    kind = select(event_kind.c.id).where(event_kind.c.name == RETRACT).scalar_subquery()
    found = select(target.c.id).where(target.c.event_id == interaction.c.retracts).exists()
    yield from _rows(
        connection, interaction, (interaction.c.kind_id == kind) & ~found, "retraction of an unknown event"
    )


def _models(connection: Connection, artifacts: Path) -> Iterator[Problem]:
    rows = connection.execute(select(model_revision.c.model_id, model_revision.c.number, model_revision.c.path)).all()
    missing = [
        f"m{row.model_id}.{row.number}: {artifacts / row.path}" for row in rows if not (artifacts / row.path).is_dir()
    ]
    if missing:
        yield Problem("model revision without its folder", len(missing), tuple(missing[:EXAMPLES]))


def _rows(connection: Connection, table: Table, bad: ColumnElement[bool], what: str) -> Iterator[Problem]:
    key = list(table.primary_key.columns)
    count = connection.execute(select(func.count()).select_from(table).where(bad)).scalar_one()
    if count:
        rows = connection.execute(select(*key).where(bad).order_by(*key).limit(EXAMPLES)).all()
        yield Problem(what, count, tuple(f"{table.name} {'/'.join(map(str, row))}" for row in rows))
