"""The kinds of dirt that can be planted, and what `penchant ingest` says of each."""

from typing import Literal

FileFormat = Literal["csv", "parquet"]

EVENT_COLUMNS = ("event_id", "user", "item", "kind", "value", "session", "occurred_at")

MISSING = ("user", "item", "occurred_at")
"""The fields of which a row with something missing lacks one, in turns."""

DIRT: dict[str, tuple[str, ...]] = {
    "missing": ("no user", "no item", "no time in occurred_at"),
    "bad_time": ("no usable time in occurred_at",),
    "unknown_kind": ("unknown kind",),
    "unknown_item": ("unknown item",),
    "nan": ("value is not a finite number",),
    "conflict": ("conflict",),
    "duplicate": (),
    "ragged": (f"{len(EVENT_COLUMNS) + 1} columns instead of {len(EVENT_COLUMNS)}",),
    "cycle": ("cycle",),
}
"""kind -> the beginnings of the reasons for which its rows are set aside; a duplicate is counted and does no harm."""

EVENT_DIRT = tuple(kind for kind in DIRT if kind != "cycle")

_ONLY_TEXT = ("ragged",)


def kinds_of(file_format: FileFormat) -> list[str]:
    """Those that a file of the format can hold: a table of typed columns has no row that is too long."""
    return [kind for kind in DIRT if file_format == "csv" or kind not in _ONLY_TEXT]
