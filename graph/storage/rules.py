"""The rules that every row has to obey, whatever table it is for, checked column-wise."""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from graph.storage.outcomes import Outcome, Outcomes, Rule
from graph.storage.times import DAY_US, EVER_US, SECOND_US

MAX_ID_BYTES = 512
"""Longer ids do not fit into an index page of PostgreSQL together with others."""
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
"""A NUL as JSON writes it; with another backslash before, it would be a backslash and letters."""
FUTURE_TOLERANCE_US = DAY_US
"""How far a clock may be ahead of ours before we disbelieve it."""

CLOCK_TOLERANCE_US = 300 * SECOND_US
"""The same for the catalog, where a version from tomorrow would hold today: what is current is the newest version."""


def id_rules(column: str, *, nullable: bool = False) -> list[Rule]:
    """Ids are there (unless `nullable`), not blank, not too long, and hold no NUL (PostgreSQL cannot store it)."""
    value = pl.col(column)
    rules: list[Rule] = [
        (value.str.strip_chars() == "", Outcome.BAD_ID, f"{column} is blank"),
        (value.str.len_bytes() > MAX_ID_BYTES, Outcome.BAD_ID, f"{column} is longer than {MAX_ID_BYTES} bytes"),
        (_has_nul(column), Outcome.BAD_ID, f"{column} holds a NUL character"),
    ]
    return rules if nullable else [(value.is_null(), Outcome.BAD_ID, f"{column} is missing"), *rules]


def time_rules(column: str, *, latest: int, earliest: int = 0) -> list[Rule]:
    """Times lie within `[earliest, latest]`, microseconds UTC; nulls pass."""
    value = pl.col(column)
    early = _at(column, value) + pl.lit(" is before 1970; are its units right?")
    late = _at(column, value) + pl.lit(" lies in the future")
    return [(value < earliest, Outcome.BAD_TIME, early), (value > latest, Outcome.BAD_TIME, late)]


def version_rules(*, latest: int) -> list[Rule]:
    """What versions of items and categories share: a name that can be stored and a `valid_from` that has come."""
    since = pl.col("valid_from")
    return [
        (_has_nul("name"), Outcome.BAD_VALUE, "name holds a NUL character"),
        ((since != EVER_US) & (since < 0), Outcome.BAD_TIME, "valid_from is before 1970"),
        *time_rules("valid_from", latest=latest, earliest=EVER_US),
    ]


def _has_nul(column: str) -> pl.Expr:
    return pl.col(column).str.contains("\0", literal=True)


def _at(column: str, value: pl.Expr) -> pl.Expr:
    return pl.lit(f"{column} ") + value.cast(pl.String) + pl.lit(" us")


def canonical_json(frame: pl.DataFrame, outcomes: Outcomes, column: str) -> pl.DataFrame:
    """Rewrites a column of JSON objects so that equal objects are equal text; refuses what is none.

    Refused as well: NaN and infinite numbers, and what PostgreSQL's jsonb cannot hold (NUL, lone surrogates).
    """
    if frame[column].null_count() == len(frame):
        return frame
    known: dict[str | None, str | None] = {None: None}
    for value in frame[column].unique().to_list():
        known[value] = None if value is None else _canonical(value)
    values = frame[column].to_list()
    rewritten = pl.Series(column, [known[value] for value in values], pl.String)
    broken = rewritten.is_null() & frame[column].is_not_null()
    frame = frame.with_columns(rewritten, broken.alias("broken"))
    return outcomes.refuse(frame, pl.col("broken"), Outcome.BAD_JSON, f"{column} is not a JSON object").drop("broken")


def written_json(value: Mapping[str, Any] | None) -> str | None:
    """The one way a JSON object is written as text."""
    if value is None:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _canonical(text: str) -> str | None:
    try:
        value = json.loads(text, parse_constant=_number, parse_float=_number)
        written = written_json(value)
        (written or "").encode()  # fails on lone surrogates
    except (ValueError, RecursionError):
        return None
    return written if isinstance(value, dict) and not _NUL.search(str(written)) else None


def _number(text: str) -> float | int:
    """Reads a number; json also calls it with "NaN", "Infinity" and "-Infinity".

    1e20 and 100000000000000000000 are one number: jsonb would give the first back as the second.
    """
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return int(value) if value.is_integer() else value
