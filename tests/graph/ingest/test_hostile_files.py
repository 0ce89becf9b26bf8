"""Files made to do harm: a few bytes that unpack to many, lines and values without end, claims that do not hold."""

import gzip
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graph.ingest import streams
from graph.ingest.json_lines import DEEPEST, JsonLinesReader
from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import Mapping, TableMapping, TableName
from graph.ingest.readers import open_reader
from graph.storage.database import Database
from graph.storage.errors import BadInputError

EVENTS: dict[str, Any] = {
    "user": "u", "item": "i", "kind": "view", "occurred_at": {"column": "t"}, "unknown_items": "create",
}  # fmt: skip
HEADER = b"u,i,t\n"
ROW = b"u1,i1,2020-01-01\n"
BLOCK, LONGEST, BOMB = 64 << 10, 256 << 10, 16 << 20


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything 256 times smaller, so that a bomb need not be large."""
    monkeypatch.setattr(streams, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(streams, "LONGEST_RECORD_BYTES", LONGEST)


def ingest(database: Database, path: Path) -> TableSummary:
    mapping = Mapping.model_validate({"source": "shop", "events": EVENTS})
    files: dict[TableName, Path] = {"events": path}
    return load(database, mapping, files, path.with_name("rejects.jsonl"))[0]


def table() -> TableMapping:
    events = Mapping.model_validate({"source": "shop", "events": EVENTS}).events
    assert events is not None
    return events


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, 9)


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


@pytest.mark.parametrize("pack", [gzipped, zstd, bytes])
@pytest.mark.parametrize(
    ("name", "start"),
    [("e.csv", HEADER + ROW), ("e.csv", HEADER + b'"'), ("e.tsv", b"u\ti\tt\n"), ("e.jsonl", b'{"u": "')],
)
def test_a_line_without_an_end_is_refused_in_little_memory(
    tmp_path: Path, small: None, pack: Callable[[bytes], bytes], name: str, start: bytes
) -> None:
    """16 MB in one value, packed into a few thousand bytes."""
    path = tmp_path / name
    path.write_bytes(pack(start + b"a" * BOMB))
    tracemalloc.start()
    try:
        with pytest.raises(BadInputError, match=r"e\.\w+ has no line end in 262,144 bytes from line \d on"):
            for _ in open_reader(path, table()).batches():
                pass
        assert tracemalloc.get_traced_memory()[1] < BOMB // 4
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pack", [gzipped, zstd])
def test_many_lines_from_few_bytes_take_little_memory(
    tmp_path: Path, small: None, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(pack(ROW * (BOMB // len(ROW))))
    assert path.stat().st_size < BOMB // 100
    tracemalloc.start()
    try:
        assert sum(block.text.count(b"\n") for block in streams.blocks(path)) == BOMB // len(ROW)
        assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK
    finally:
        tracemalloc.stop()


def test_a_value_that_is_too_long_is_one_rejected_row(sqlite_database: Database, tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(HEADER + ROW + b"u2," + b"i" * 3_000_000 + b",2020-01-01\n" + ROW)
    assert ingest(sqlite_database, path).counts["rejected"] == 1
    path.write_bytes(HEADER + ROW + b'u2,"' + b"i" * 3_000_000 + b'\n",2020-01-01\n' + ROW)
    counts = ingest(sqlite_database, path).counts
    assert (counts["rejected"], counts["duplicate"]) == (2, 2)


def nested(depth: int, how: str) -> bytes:
    if how == "lists":
        return b'{"u": "u1", "i": "i1", "t": "2020-01-01", "a": ' + b"[" * depth + b"]" * depth + b"}\n"
    return b'{"u": "u1", "i": "i1", "t": "2020-01-01", "a": ' + b'{"a":' * depth + b"1" + b"}" * (depth + 1) + b"\n"


@pytest.mark.parametrize("how", ["lists", "objects"])
@pytest.mark.parametrize("depth", [DEEPEST, 500, 900, 1_200, 100_000])
def test_json_nested_without_end_is_one_rejected_row(tmp_path: Path, how: str, depth: int) -> None:
    """Between five hundred and a thousand levels Polars would have gone on for days."""
    path, good = tmp_path / "e.jsonl", nested(2, how)
    path.write_bytes(good + nested(depth, how) + good)
    (batch,) = JsonLinesReader(path, table()).batches()
    assert batch.rows.height == 2
    assert [(reject.line, "nested too deeply" in reject.reason) for reject in batch.rejects] == [(2, True)]


def test_brackets_in_texts_take_no_nesting_back(tmp_path: Path) -> None:
    path, good = tmp_path / "e.jsonl", nested(2, "lists")
    hidden = b'{"u": "' + b"]" * 1_000 + b'", "i": "i1", "t": "2020-01-01", "a": ' + b"[" * 900 + b"]" * 900 + b"}\n"
    path.write_bytes(good + hidden + good)
    (batch,) = JsonLinesReader(path, table()).batches()
    assert batch.rows.height == 2
    assert [(reject.line, "nested too deeply" in reject.reason) for reject in batch.rejects] == [(2, True)]


def test_a_row_that_is_wide_and_not_deep_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    path.write_bytes(b'{"u": "u1", "i": "i1", "t": "2020-01-01", "a": [' + b"[1]," * 500 + b"[1]]}\n")
    (batch,) = JsonLinesReader(path, table()).batches()
    assert (batch.rows.height, batch.rejects) == (1, [])


def test_brackets_in_texts_are_no_nesting(tmp_path: Path) -> None:
    path = tmp_path / "e.jsonl"
    rows = [{"u": "[" * 300, "n": each} for each in range(3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (batch,) = JsonLinesReader(path, table()).batches()
    assert batch.rows.select("u", "n").to_dicts() == rows
    assert not batch.rejects


def test_parquet_claims_that_do_not_hold_are_refused(sqlite_database: Database, tmp_path: Path) -> None:
    path = tmp_path / "e.parquet"
    pq.write_table(pa.table({"u": ["u1"] * 50, "i": ["i1"] * 50, "t": ["2020-01-01"] * 50}), path)
    whole = path.read_bytes()
    length = struct.unpack("<I", whole[-8:-4])[0]
    for content in (
        whole[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1",
        whole[:-8] + struct.pack("<I", length // 2) + b"PAR1",
        whole[: -8 - length] + b"\xff" * length + whole[-8:],
        whole[:4] + b"\xff" * (len(whole) - length - 12) + whole[-8 - length :],
        b"PAR1" + whole[-8:],
    ):
        path.write_bytes(content)
        with pytest.raises(BadInputError, match=r"e\.parquet is a truncated or damaged Parquet file"):
            ingest(sqlite_database, path)
