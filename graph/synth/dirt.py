"""Dirty lines among a block's events: each is a spoilt copy that follows a good one, so the good ones all stay.

What a dirty shop stores is therefore exactly what the clean one stores.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from graph.arrays import Int64s
from graph.storage.times import parse_time
from graph.synth import draws
from graph.synth.dirt_kinds import DIRT, EVENT_DIRT, MISSING, FileFormat
from graph.synth.options import Options

_BAD_TEXTS = ("yesterday", "2020-13-45", "1e30", "31.02.2020 25:61")
_BAD_MOMENTS = (parse_time("1700-01-01"), parse_time("2400-01-01"))
_KEEPS_ID = ("duplicate", "conflict", "ragged")
_BAD_VALUES = (float("nan"), float("inf"))
_OTHER_VALUE = -1.0  # none that an event ever has


@dataclass(frozen=True, eq=False)
class Lines:
    """The m lines that n events become."""

    event: Int64s  # [m] place of the event, ascending
    code: Int64s  # [m] into EVENT_DIRT, -1 = good
    variant: Int64s  # [m] number of the dirty line among those of its kind in the block

    def of(self, kind: str) -> Int64s:
        """The places of the lines spoilt in that way."""
        return np.flatnonzero(self.code == EVENT_DIRT.index(kind))

    def truth(self, first_line: int) -> pl.DataFrame:
        """`line`, `dirt`, `reason` (null for a duplicate) of the dirty lines."""
        dirty = np.flatnonzero(self.code >= 0)
        kinds = [EVENT_DIRT[code] for code in self.code[dirty]]
        reasons = [
            DIRT[kind][variant % len(DIRT[kind])] if DIRT[kind] else None
            for kind, variant in zip(kinds, self.variant[dirty], strict=True)
        ]
        columns = {"table": ["events"] * len(dirty), "line": first_line + dirty, "dirt": kinds, "reason": reasons}
        return pl.DataFrame(columns, schema=TRUTH_SCHEMA)


TRUTH_SCHEMA = {"table": pl.String, "line": pl.Int64, "dirt": pl.String, "reason": pl.String}


def plant(options: Options, block: int, n: int) -> Lines:
    """Which of a block's `n` events are followed by a spoilt copy, and how it is spoilt."""
    bounds = np.cumsum([options.dirt.get(kind, 0.0) for kind in EVENT_DIRT])
    code = np.searchsorted(bounds, draws.stream(options.seed, draws.DIRT, block).random(n), side="right")
    is_followed = code < len(EVENT_DIRT)
    lines = 1 + is_followed
    copies = np.cumsum(lines)[is_followed] - 1
    spoilt = np.full(int(lines.sum()), -1)
    spoilt[copies] = code[is_followed]
    variant = np.zeros(len(spoilt), np.int64)
    for kind in range(len(EVENT_DIRT)):
        same = spoilt == kind
        variant[same] = np.arange(same.sum())
    return Lines(np.repeat(np.arange(n), lines), spoilt, variant)


def spoil(frame: pl.DataFrame, lines: Lines, n_events: int, file_format: FileFormat) -> pl.DataFrame:
    """`frame` (dirt_kinds.EVENT_COLUMNS, one row a line) with what is wrong put in; too long lines come in files.py."""
    own_id = np.flatnonzero((lines.code >= 0) & ~np.isin(lines.code, [EVENT_DIRT.index(kind) for kind in _KEEPS_ID]))
    frame = _set(frame, "event_id", own_id, n_events + frame["event_id"].gather(own_id))
    missing = lines.of("missing")
    for number, column in enumerate(MISSING):
        frame = _set(frame, column, missing[lines.variant[missing] % len(MISSING) == number], None)
    items = lines.of("unknown_item")
    frame = _set(frame, "item", items, "no-" + frame["item"].gather(items))
    frame = _set(frame, "kind", lines.of("unknown_kind"), "klick")
    frame = _set(frame, "value", lines.of("conflict"), _OTHER_VALUE)
    nan = lines.of("nan")
    frame = _set(frame, "value", nan, _turns(_BAD_VALUES, lines.variant[nan], pl.Float64()))
    bad = lines.of("bad_time")
    if file_format == "csv":
        frame = frame.with_columns(pl.col("occurred_at").cast(pl.String))
        return _set(frame, "occurred_at", bad, _turns(_BAD_TEXTS, lines.variant[bad], pl.String()))
    return _set(frame, "occurred_at", bad, _turns(_BAD_MOMENTS, lines.variant[bad], frame.schema["occurred_at"]))


def _turns(values: tuple[object, ...], variant: Int64s, kind: pl.DataType) -> pl.Series:
    return pl.Series(values, dtype=kind).gather(variant % len(values))


def _set(frame: pl.DataFrame, column: str, places: Int64s, value: pl.Series | str | float | None) -> pl.DataFrame:
    return frame.with_columns(frame[column].scatter(places, value)) if len(places) else frame
