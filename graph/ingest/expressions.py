"""Source columns of any type as the text, numbers and JSON of the store: Polars expressions, never a loop over rows."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from graph.ingest.mapping import is_template, template_pieces

_TRUE = ["true", "t", "yes", "y", "1"]
_FALSE = ["false", "f", "no", "n", "0"]
_EXACT_FLOAT = 2.0**53


def text(rows: pl.DataFrame, column: str) -> pl.Expr:
    """The column as stripped text, empty as null. 42.0 is "42": pandas makes ids with gaps into floats."""
    kind = rows.schema.get(column)
    value = pl.col(column)
    if kind is None:
        return pl.lit(None, pl.String)
    if kind.is_float():
        whole = value.is_finite() & (value == value.floor()) & (value.abs() < _EXACT_FLOAT)
        value = (
            pl.when(whole)
            .then(value.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(value.fill_nan(None).cast(pl.String))
        )
    elif isinstance(kind, pl.List | pl.Array | pl.Struct):
        value = json_of(rows, column)
    elif kind != pl.String:
        value = value.cast(pl.String, strict=False)
    value = value.str.strip_chars()
    return pl.when(value != "").then(value)


def label(rows: pl.DataFrame, template: str) -> pl.Expr:
    """A column's text, or a template such as `{name|id} ({year})`: `|` takes the first that is there; nulls collapse.

    So do brackets around a null, and separators that it leaves at either end.
    """
    if not is_template(template):
        return text(rows, template)
    pieces: list[pl.Expr] = []
    for literal, choices in template_pieces(template):
        pieces.append(pl.lit(literal))
        if choices:
            pieces.append(pl.coalesce([text(rows, column) for column in choices]).fill_null(""))
    joined = pl.concat_str(pieces).str.replace_all(r"\(\s*\)|\[\s*\]", "").str.replace_all(r"\s+", " ")
    joined = joined.str.strip_chars(" ,;:/|–-")
    return pl.when(joined != "").then(joined)


def number(rows: pl.DataFrame, column: str) -> pl.Expr:
    """float64; text that is no number becomes NaN, so that the check for finite numbers refuses it."""
    if column not in rows.columns:
        return pl.lit(None, pl.Float64)
    source = text(rows, column) if rows.schema[column] == pl.String else pl.col(column)
    parsed = source.cast(pl.Float64, strict=False)
    return pl.when(source.is_not_null()).then(parsed.fill_null(float("nan")))


def integer(rows: pl.DataFrame, column: str) -> pl.Expr:
    """int64, null where the value is none (compare with `text` to tell missing from wrong)."""
    return text(rows, column).cast(pl.Int64, strict=False)


def truth(rows: pl.DataFrame, column: str) -> pl.Expr:
    """true/false, yes/no, 1/0 in any case; null where the value is none of these."""
    word = text(rows, column).str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False)


def json_of(rows: pl.DataFrame, column: str) -> pl.Expr:
    """The column's values as JSON text that depends on the value alone, not on its neighbours in the batch."""
    kind = rows.schema.get(column)
    value = pl.col(column)
    if kind is None or kind == pl.Null:
        return pl.lit(None, pl.String)
    if kind.is_numeric() or kind == pl.Boolean:
        return text(rows, column)
    if isinstance(kind, pl.List | pl.Array | pl.Struct):
        encoded = pl.struct(value.alias("v")).struct.json_encode().str.slice(5).str.head(-1)
        # Polars gives every row the keys of all rows; a row's own content must not change with its neighbours.
        return pl.when(value.is_not_null()).then(encoded.map_elements(_without_nulls, return_dtype=pl.String))
    plain = text(rows, column)
    return pl.when(plain.is_not_null()).then(pl.struct(plain.alias("v")).struct.json_encode().str.slice(5).str.head(-1))


def _without_nulls(encoded: str) -> str:
    return json.dumps(_pruned(json.loads(encoded)), ensure_ascii=False, separators=(",", ":"))


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(inner) for key, inner in value.items() if inner is not None}
    return [_pruned(inner) for inner in value] if isinstance(value, list) else value


def json_object(rows: pl.DataFrame, columns: Mapping[str, str]) -> pl.Expr:
    """One JSON object from several columns (our name -> theirs), empty values left out; null when all are empty."""
    members = [pl.lit(json.dumps(name, ensure_ascii=False) + ":") + json_of(rows, c) for name, c in columns.items()]
    if not members:
        return pl.lit(None, pl.String)
    body = pl.concat_str(members, separator=",", ignore_nulls=True)
    return pl.when(body != "").then(pl.concat_str([pl.lit("{"), body, pl.lit("}")]))


def infinite(rows: pl.DataFrame, columns: Mapping[str, str]) -> pl.Expr:
    """True where one of the columns holds an infinite number, which JSON cannot carry."""
    floats = [pl.col(c).is_infinite() for c in columns.values() if c in rows.columns and rows.schema[c].is_float()]
    return pl.any_horizontal(floats).fill_null(value=False) if floats else pl.lit(value=False)


def shown(rows: pl.DataFrame, column: str) -> pl.Expr:
    """A value as it stands in a reason: quoted, and not longer than a line of a terminal."""
    return pl.concat_str([pl.lit("'"), text(rows, column).fill_null("").str.head(60), pl.lit("'")])
