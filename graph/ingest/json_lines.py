"""JSON Lines: one object a line. Polars takes a block at once; a block with a bad line is read line by line."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from graph.ingest.batch import LINE, Batch
from graph.ingest.expressions import text
from graph.ingest.mapping import TableMapping
from graph.ingest.rejects import Reject
from graph.ingest.sources import size
from graph.ingest.streams import Block, blocks

DEEPEST = 64
"""Objects and lists in each other. Deeper ones cost Polars hours: its time doubles with each few levels."""


class JsonLinesReader:
    columns: None = None

    def __init__(self, path: Path, table: TableMapping) -> None:
        self.path = path
        self.encoding = table.encoding
        self.total = size(path)

    def batches(self) -> Iterator[Batch]:
        for block in blocks(self.path, self.encoding):
            yield _at_once(block) or _line_by_line(block)


def _at_once(block: Block) -> Batch | None:
    if _seems_deep(block.text):
        return None
    try:
        rows = pl.read_ndjson(block.text, infer_schema_length=None)
    except (pl.exceptions.PolarsError, ValueError, OSError):  # the last for bytes that look compressed
        return None
    lines = block.text.count(b"\n") + (not block.text.endswith(b"\n"))
    if rows.height != lines:
        return None
    return Batch(rows.with_columns(pl.int_range(lines).alias(LINE) + block.first_line), block.consumed)


def _line_by_line(block: Block) -> Batch:
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    rejects: list[Reject] = []
    for number, raw in enumerate(block.text.removesuffix(b"\n").split(b"\n"), block.first_line):
        row = parse_object(raw) if raw.strip() else None
        if isinstance(row, dict):
            rows.append(row)
            numbers.append(number)
        elif row is not None:
            rejects.append(Reject(number, row, raw.decode("utf-8", "backslashreplace").strip()))
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [column_of(name, [row.get(name) for row in rows]) for name in names]
    frame = pl.DataFrame([*columns, pl.Series(LINE, np.array(numbers, dtype=np.int64))])
    return Batch(frame, block.consumed, rejects)


def parse_object(raw: bytes) -> dict[str, Any] | str:
    """The line's object, or why it has none."""
    try:
        row = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        json.dumps(row, ensure_ascii=False).encode("utf-8")  # half a surrogate pair, as in "\ud83d", is no text
    except UnicodeError:
        return "broken encoding: not valid utf-8"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at character {error.pos + 1}"
    except ValueError as error:
        return f"not JSON: {error}"
    except RecursionError:
        return _TOO_DEEP
    if _seems_deep(raw) and _depth(row) > DEEPEST:
        return _TOO_DEEP
    return row if isinstance(row, dict) else f"not a JSON object: a {type(row).__name__}"


def _seems_deep(text: bytes) -> bool:
    """Whether a line opens more than DEEPEST brackets: no line that opens fewer is nested so deeply.

    None is taken back by one that closes, which may stand in a text. Lines that are only wide are looked at one by one.
    """
    codes = np.frombuffer(text, np.uint8)
    opens = (codes | 0x20) == ord("{")  # [ and { differ in this bit alone
    line = np.cumsum(codes == ord("\n"))[opens]
    return bool((np.bincount(line) > DEEPEST).any())


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [each for each in level if isinstance(each, dict | list)]:
        level = [inner for each in level for inner in (each.values() if isinstance(each, dict) else each)]
        depth += 1
    return depth


_TOO_DEEP = f"nested too deeply: more than {DEEPEST} objects and lists in each other"


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def column_of(name: str, values: list[Any]) -> pl.Series:
    """One type a column, as Polars would have it; where values differ in kind, each becomes its text."""
    if any(isinstance(value, list) for value in values):
        texts = [None if v is None else _texts(v if isinstance(v, list) else [v]) for v in values]
        return pl.Series(name, texts, dtype=pl.List(pl.String))
    kinds = {type(value) for value in values if value is not None}
    if len(kinds) > 1 and kinds != {int, float}:
        return pl.Series(name, _texts(values), dtype=pl.String)
    return pl.Series(name, values, strict=False)


def _texts(values: list[Any]) -> list[str | None]:
    """Floats as `expressions.text` has them, so that a value is one id whatever its neighbours are."""
    floats = pl.DataFrame({"": [v if isinstance(v, float) else None for v in values]}, schema={"": pl.Float64})
    said = floats.select(text(floats, "")).to_series().to_list() if floats[""].count() else values
    return [each if isinstance(v, float) else _text(v) for v, each in zip(values, said, strict=True)]


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
