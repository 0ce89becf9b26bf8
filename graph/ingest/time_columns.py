"""Times of any source as int64 microseconds UTC. A column may mix zones; a value without one takes the mapping's."""

import polars as pl

from graph.ingest.expressions import text
from graph.ingest.mapping import Time
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US, parse_time

EARLIEST_US = parse_time("1900-01-01")
LATEST_US = parse_time("2200-01-01")
"""Outside [EARLIEST_US, LATEST_US) a time is taken for a mistake of unit, e.g. milliseconds read as seconds."""

_UNIT_US = {"unix_seconds": 1_000_000.0, "unix_millis": 1_000.0, "unix_micros": 1.0}
_ISO = (
    r"^(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ](?P<minute>[0-9]{2}:[0-9]{2})(?P<second>:[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
    r"\s*(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)?$"
)
"""Digits are written out: `\\d` means all of Unicode's, which takes ten times as long to find."""


def micros(rows: pl.DataFrame, time: Time) -> pl.Series:
    """int64 us of each row, null where the value is missing, unparsable, absurd, or skipped by the zone's clock change.

    An hour that the zone's clock shows twice is taken the first time.
    """
    kind = rows.schema.get(time.column)
    value = pl.col(time.column)
    if kind is None or kind == pl.Null:
        return pl.Series([None], dtype=pl.Int64).new_from_index(0, rows.height)
    if kind == pl.Date:
        moment = _to_utc(value.cast(pl.Datetime("us")), time.zone)
    elif isinstance(kind, pl.Datetime):
        value = value.cast(pl.Datetime("us", kind.time_zone))
        moment = value.dt.epoch("us") if kind.time_zone else _to_utc(value, time.zone)
    elif time.format in _UNIT_US:
        moment = _unix(rows, time.column, _UNIT_US[time.format])
    elif kind != pl.String:
        hint = "Say e.g. format = 'unix_seconds' in the mapping."
        raise BadInputError(f"Column {time.column!r} holds {kind}, not times as text.", hint=hint, field=time.column)
    elif time.format == "iso":
        rows = rows.select(text(rows, time.column).str.extract_groups(_ISO).alias("parts")).unnest("parts")
        moment = _iso(time.zone)
    else:
        moment = _pattern(text(rows, time.column), time)
    moments = rows.select(moment.alias("moment"))
    plausible = pl.col("moment").is_between(EARLIEST_US, LATEST_US, closed="left")
    return moments.select(pl.when(plausible).then("moment"))["moment"]


def _to_utc(naive: pl.Expr, zone: str) -> pl.Expr:
    if zone == "UTC":
        return naive.dt.epoch("us")
    return naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.epoch("us")


def _unix(rows: pl.DataFrame, column: str, unit_us: float) -> pl.Expr:
    source = text(rows, column) if rows.schema[column] == pl.String else pl.col(column)
    # Doubles hold microseconds exactly until the year 2255; whole numbers beyond overflow no integer on the way.
    scaled = (source.cast(pl.Float64, strict=False) * unit_us).round()
    return pl.when(scaled.abs() < 2.0**62).then(scaled).cast(pl.Int64, strict=False)


def _iso(zone: str) -> pl.Expr:
    """From the parts of `2017-01-31`, `2017-01-31T12:00` or `2017-01-31 12:00:00.5`, any of them with a zone."""
    day, minute, second, offset = (pl.col(part) for part in ("day", "minute", "second", "offset"))
    stamp = pl.concat_str([day, pl.lit(" "), minute.fill_null("00:00"), second.fill_null(":00")])
    naive = stamp.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False)
    sign = pl.when(offset.str.starts_with("-")).then(-1).otherwise(1)
    hours = offset.str.slice(1, 2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = offset.str.tail(2).cast(pl.Int64, strict=False).fill_null(0)
    minutes = pl.when(offset.str.len_chars() > 3).then(minutes).otherwise(0)
    shift = sign * (hours * 60 + minutes) * (DAY_US // 1440)
    return pl.when(offset.is_null()).then(_to_utc(naive, zone)).otherwise(naive.dt.epoch("us") - shift)


def _pattern(value: pl.Expr, time: Time) -> pl.Expr:
    if "%z" in time.format or "%#z" in time.format:
        return value.str.to_datetime(time.format, time_unit="us", time_zone="UTC", strict=False).dt.epoch("us")
    has_clock = any(code in time.format for code in ("%H", "%I", "%T", "%R", "%s"))
    if not has_clock:
        return _to_utc(value.str.to_date(time.format, strict=False).cast(pl.Datetime("us")), time.zone)
    return _to_utc(value.str.to_datetime(time.format, time_unit="us", strict=False), time.zone)
