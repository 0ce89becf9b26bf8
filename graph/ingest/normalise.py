"""A batch of a source's rows -> rows of the store's canonical tables, and the rows that cannot be used with the reason.

Column-wise: every check is an expression, and a row's reason is that of its first failed check.
"""

from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from graph.ingest.batch import LINE
from graph.ingest.categories import escaped, item_categories
from graph.ingest.expressions import infinite, integer, json_object, label, number, shown, text, truth
from graph.ingest.mapping import Categories, Events, Items, Kind, Time, Users
from graph.ingest.rejects import Reject
from graph.ingest.time_columns import micros
from graph.schema import RETRACT
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, USERS

_REASON = "#reason"
Checks = list[tuple[pl.Expr, pl.Expr]]
"""(the row is bad, why) pairs over the source's columns."""


@dataclass(frozen=True)
class Normal:
    """`rows` has the canonical columns and LINE; `nodes` are categories that must exist before `rows` are written."""

    rows: pl.DataFrame
    rejects: list[Reject]
    nodes: pl.DataFrame | None = None

    def table(self, schema: pa.Schema) -> pa.Table:
        return to_arrow(self.rows.drop(LINE), schema)


def to_arrow(rows: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """A frame with columns of `schema` as an Arrow table of exactly those types."""
    oldest = pl.CompatLevel.oldest()  # string and list views are not yet known everywhere
    return pa.table(
        {name: rows[name].to_arrow(compat_level=oldest).cast(schema.field(name).type) for name in rows.columns}
    )


def normalise_events(rows: pl.DataFrame, table: Events) -> Normal:
    kind, checks = _kind(rows, table)
    # A retraction names an event, which already has an item.
    retracting = (kind == RETRACT).fill_null(value=False) if table.retracts else pl.lit(value=False)
    occurred_at = micros(rows, table.occurred_at)
    checks = [
        (text(rows, table.user).is_null(), pl.lit("no user")),
        (text(rows, table.item).is_null() & ~retracting, pl.lit("no item")),
        *checks,
        (text(rows, table.occurred_at.column).is_null(), pl.lit(f"no time in {table.occurred_at.column}")),
        _time_check(rows, table.occurred_at, occurred_at),
    ]
    columns = {
        "user": text(rows, table.user),
        "item": text(rows, table.item),
        "kind": kind,
        "context": json_object(rows, table.context),
        "occurred_at": pl.lit(occurred_at),
    }
    checks.append(_finite(rows, table.context))
    if table.event_id:
        checks.append((text(rows, table.event_id).is_null(), pl.lit("no event id")))
        columns["event_id"] = text(rows, table.event_id)
    if table.value:
        wrong = ~number(rows, table.value).fill_null(0.0).is_finite()
        checks.append((wrong, _why("value is not a finite number", rows, table.value)))
        columns["value"] = number(rows, table.value)
    if table.session:
        columns["session_key"] = text(rows, table.session)
    if table.sequence:
        value = integer(rows, table.sequence)
        wrong = text(rows, table.sequence).is_not_null() & value.is_null()
        checks.append((wrong, _why("sequence is not a whole number", rows, table.sequence)))
        columns["sequence"] = value
    if table.retracts:
        columns["retracts"] = text(rows, table.retracts)
    if table.recorded_at:
        recorded_at = micros(rows, table.recorded_at)
        checks.append(_time_check(rows, table.recorded_at, recorded_at))
        columns["recorded_at"] = pl.lit(recorded_at)
    return _split(rows, columns, checks, EVENTS)


def normalise_items(rows: pl.DataFrame, table: Items) -> Normal:
    listed, nodes = item_categories(rows, table.categories)
    valid_from, wrong_time = _valid_from(rows, table.valid_from)
    checks: Checks = [
        (text(rows, table.id).is_null(), pl.lit("no id")),
        _finite(rows, table.attributes),
        *wrong_time,
    ]
    columns = {
        "item": text(rows, table.id),
        "name": label(rows, table.name) if table.name else pl.lit(None, pl.String),
        "attributes": json_object(rows, table.attributes),
        "available": pl.lit(value=True),
        "categories": pl.lit(listed),
        "valid_from": valid_from,
    }
    if table.available:
        value = truth(rows, table.available)
        wrong = text(rows, table.available).is_not_null() & value.is_null()
        checks.append((wrong, _why("available is neither true nor false", rows, table.available)))
        columns["available"] = value.fill_null(value=True)
    normal = _split(rows, columns, checks, ITEMS)
    used = normal.rows["categories"].explode().unique().drop_nulls()
    return Normal(normal.rows, normal.rejects, _with_parents(nodes, used))


def normalise_categories(rows: pl.DataFrame, table: Categories) -> Normal:
    root = label(rows, table.root) if table.root and "{" in table.root else pl.lit(table.root, pl.String)
    parent = text(rows, table.parent) if table.parent else pl.lit(None, pl.String)
    valid_from, wrong_time = _valid_from(rows, table.valid_from)
    columns = {
        "category": text(rows, table.id),
        "name": label(rows, table.name) if table.name else text(rows, table.id),
        "parent": pl.coalesce(parent, escaped(root)),
        "valid_from": valid_from,
    }
    checks: Checks = [
        (text(rows, table.id).is_null(), pl.lit("no id")),
        ((parent == text(rows, table.id)).fill_null(value=False), pl.lit("a category cannot be its own parent")),
        *wrong_time,
    ]
    normal = _split(rows, columns, checks, CATEGORIES)
    if table.root is None:
        return normal
    roots = rows.select(root.alias("name"), parent.alias("parent")).filter(pl.col("parent").is_null())
    named = roots.drop_nulls("name").unique("name", maintain_order=True)
    nodes = named.select(category=escaped(pl.col("name")), name="name", parent=pl.lit(None, pl.String), valid_from=None)
    return Normal(normal.rows, normal.rejects, nodes.cast({"valid_from": pl.Int64}))


def normalise_users(rows: pl.DataFrame, table: Users) -> Normal:
    columns = {"user": text(rows, table.id), "attributes": json_object(rows, table.attributes)}
    checks: Checks = [(text(rows, table.id).is_null(), pl.lit("no id")), _finite(rows, table.attributes)]
    return _split(rows, columns, checks, USERS)


def _kind(rows: pl.DataFrame, table: Events) -> tuple[pl.Expr, Checks]:
    if not isinstance(table.kind, Kind):
        return pl.lit(table.kind), []
    source = text(rows, table.kind.column)
    checks: Checks = [(source.is_null(), pl.lit("no kind"))]
    if table.kind.values is None:
        return source, checks
    kind = source.replace_strict(table.kind.values, default=None, return_dtype=pl.String)
    return kind, [*checks, (kind.is_null(), _why("unknown kind", rows, table.kind.column))]


def _valid_from(rows: pl.DataFrame, time: Time | None) -> tuple[pl.Expr, Checks]:
    if time is None:
        return pl.lit(None, pl.Int64), []
    moments = micros(rows, time)
    return pl.lit(moments), [_time_check(rows, time, moments)]


def _time_check(rows: pl.DataFrame, time: Time, moments: pl.Series) -> tuple[pl.Expr, pl.Expr]:
    wrong = text(rows, time.column).is_not_null() & pl.lit(moments.is_null())
    return wrong, _why(f"no usable time in {time.column}", rows, time.column)


def _finite(rows: pl.DataFrame, columns: dict[str, str]) -> tuple[pl.Expr, pl.Expr]:
    return infinite(rows, columns), pl.lit("an infinite number")


def _why(reason: str, rows: pl.DataFrame, column: str) -> pl.Expr:
    return pl.concat_str([pl.lit(f"{reason}: "), shown(rows, column)])


def _split(rows: pl.DataFrame, columns: dict[str, pl.Expr], checks: Checks, schema: pa.Schema) -> Normal:
    reason = pl.coalesce([pl.when(bad).then(why) for bad, why in checks])
    ordered = {name: columns[name] for name in schema.names if name in columns}
    checked = rows.select(**ordered, **{LINE: pl.col(LINE), _REASON: reason})
    is_good = checked[_REASON].is_null()
    if is_good.all():
        return Normal(checked.drop(_REASON), [])
    reasons = checked.filter(~is_good)[_REASON]
    return Normal(checked.filter(is_good).drop(_REASON), to_rejects(rows.filter(~is_good), reasons))


def to_rejects(rows: pl.DataFrame, reasons: pl.Series) -> list[Reject]:
    """Source rows with their reasons; only what was refused ever becomes Python objects."""
    records = rows.drop(LINE).iter_rows(named=True)
    return [Reject(line, why, row) for line, why, row in zip(rows[LINE], reasons, records, strict=True)]


def _with_parents(nodes: pl.DataFrame, used: pl.Series) -> pl.DataFrame:
    """The nodes that rows use, with all nodes above them: a refused row creates no category."""
    wanted = nodes.filter(pl.col("category").is_in(used.implode()))
    while True:
        parents = nodes.filter(pl.col("category").is_in(wanted["parent"].drop_nulls().implode()))
        grown = pl.concat([wanted, parents]).unique("category", maintain_order=True)
        if grown.height == wanted.height:
            return nodes.filter(pl.col("category").is_in(grown["category"].implode()))
        wanted = grown
