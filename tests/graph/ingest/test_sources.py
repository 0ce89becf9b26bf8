"""Packed files, many files and standard input end as the same rows as one plain file."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from graph.ingest import sources, streams
from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import Mapping, TableName
from graph.ingest.sources import STANDARD_INPUT, Unpacked, expanded
from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.tables import interaction

EVENTS: dict[str, Any] = {
    "user": "u", "item": "i", "kind": "view", "occurred_at": {"column": "t"}, "unknown_items": "create",
}  # fmt: skip
HEADER = "u,i,t\n"
# Rows equal to each other lie a block, and a file, apart.
ROWS = [f"u{n % 5},i{n % 3},2020-01-0{1 + n % 7}\n" for n in range(210)]
CONTENT = (HEADER + "".join(ROWS)).encode()


def nonzero(summary: TableSummary) -> dict[str, int]:
    return {name: count for name, count in summary.counts.items() if count}


def ingest(
    database: Database, folder: Path, path: Path, rejects: Path | None = None, **options: Any
) -> tuple[TableSummary, dict[str, int]]:
    mapping = Mapping.model_validate({"source": "shop", "events": {**EVENTS, **options}})
    files: dict[TableName, Path] = {"events": path}
    summary = load(database, mapping, files, rejects or folder / "rejects.jsonl")[0]
    return summary, nonzero(summary)


def ids(database: Database) -> set[str]:
    with database.connect() as connection:
        return set(connection.execute(interaction.select().with_only_columns(interaction.c.event_id)).scalars())


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 512)


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def standard_input(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("e.csv.gz", gzip.compress(CONTENT)),
        ("e.csv.zst", zstd(CONTENT)),
        ("e.csv", gzip.compress(CONTENT)),  # whatever it is called
        ("e.csv.gz", CONTENT),
        ("e.csv.gz", gzip.compress(CONTENT[:700]) + gzip.compress(CONTENT[700:])),  # two archives, one behind the other
        ("e.csv.zst", zstd(CONTENT[:700]) + zstd(CONTENT[700:])),
    ],
)
def test_packed_files_are_read_as_their_content(
    sqlite_database: Database, tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "plain.csv").write_bytes(CONTENT)
    (tmp_path / name).write_bytes(content)
    assert ingest(sqlite_database, tmp_path, tmp_path / "plain.csv")[1] == {"accepted": 210}
    assert ingest(sqlite_database, tmp_path, tmp_path / name)[1] == {"duplicate": 210}


def test_packed_json_lines(sqlite_database: Database, tmp_path: Path) -> None:
    lines = [json.dumps(dict(zip("uit", row.strip().split(","), strict=True))) for row in ROWS]
    (tmp_path / "e.jsonl.zst").write_bytes(zstd("\n".join(lines).encode()))
    (tmp_path / "e.csv").write_bytes(CONTENT)
    assert ingest(sqlite_database, tmp_path, tmp_path / "e.jsonl.zst")[1] == {"accepted": 210}
    assert ingest(sqlite_database, tmp_path, tmp_path / "e.csv")[1] == {"duplicate": 210}


@pytest.mark.parametrize("pack", [gzip.compress, zstd])
def test_a_file_cut_off_keeps_what_was_stored_and_the_whole_one_doubles_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any
) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1 << 16)
    rows = [f"u{hash_:x},i1,2020-01-01\n" for hash_ in (pow(7, n, 2**61 - 1) for n in range(12_000))]  # packs badly
    content = (HEADER + "".join(rows)).encode()
    path = tmp_path / "e.csv.gz"
    path.write_bytes(pack(content)[:-4_000])
    with pytest.raises(BadInputError, match=r"e\.csv\.gz is a (gzip|zstd) file that is cut off") as caught:
        ingest(database, tmp_path, path)
    assert "not stored twice" in str(caught.value)
    stored = len(ids(database))
    assert 0 < stored < 12_000
    path.write_bytes(pack(content))
    assert ingest(database, tmp_path, path)[1] == {"accepted": 12_000 - stored, "duplicate": stored}


def test_many_files_are_one_table(database: Database, tmp_path: Path) -> None:
    (tmp_path / "whole.csv").write_bytes(CONTENT)
    for number, start in enumerate(range(0, 210, 70)):
        part = (HEADER + "".join(ROWS[start : start + 70])).encode()
        (tmp_path / f"part-{number}.csv").write_bytes(gzip.compress(part) if number == 1 else part)
    summary, counts = ingest(database, tmp_path, tmp_path / "part-*.csv")
    assert (summary.rows, counts) == (210, {"accepted": 210})
    assert [path.name for path in summary.files] == ["part-0.csv", "part-1.csv", "part-2.csv"]
    assert ingest(database, tmp_path, tmp_path / "whole.csv")[1] == {"duplicate": 210}


def test_rejects_name_the_file_and_the_line_in_it(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + ROWS[0])
    (tmp_path / "b.csv").write_text(HEADER + "u,i,never\n" + ROWS[1] + "x\n")
    assert ingest(sqlite_database, tmp_path, tmp_path / "*.csv")[1] == {"accepted": 2, "rejected": 2}
    records = [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()]
    assert [(Path(r["file"]).name, r["line"]) for r in records] == [("b.csv", 4), ("b.csv", 2)]


def test_repeats_over_files_name_the_first(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("u,age\nann,30\n")
    (tmp_path / "b.csv").write_text("u,age\nbob,1\nann,30\nann,31\n")
    mapping = Mapping.model_validate({"source": "s", "users": {"id": "u", "attributes": ["age"]}})
    summary = load(sqlite_database, mapping, {"users": tmp_path / "*.csv"}, tmp_path / "r.jsonl")[0]
    assert nonzero(summary) == {"accepted": 2, "repeated": 1, "rejected": 1}
    record = json.loads((tmp_path / "r.jsonl").read_text())
    assert record["reason"] == f"id given twice with other content: first in line 2 of {tmp_path / 'a.csv'}"
    assert (record["file"], record["line"]) == (str(tmp_path / "b.csv"), 4)


def test_a_file_of_a_glob_that_is_bad_as_a_whole_stops_all(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    (tmp_path / "b.csv").write_text("u,item,t\n")
    with pytest.raises(BadInputError, match=r"b\.csv has no column 'i'"):
        ingest(sqlite_database, tmp_path, tmp_path / "*.csv")
    assert ids(sqlite_database) == set()


def test_what_a_pattern_names(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c[1].csv", "d.txt"):
        (tmp_path / name).touch()
    (tmp_path / "e.csv").mkdir()
    assert [path.name for path in expanded(tmp_path / "*.csv")] == ["a.csv", "b.csv", "c[1].csv"]
    assert expanded(tmp_path / "c[1].csv") == [tmp_path / "c[1].csv"]  # a file is no pattern, whatever its name
    with pytest.raises(NotFoundError, match=r"No file matches .*none-\*"):
        expanded(tmp_path / "none-*")


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd])
def test_standard_input(sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any) -> None:
    if pack is bytes:
        monkeypatch.setattr(sources, "HEAD_BYTES", 1_024)  # a part of it
    standard_input(monkeypatch, pack(CONTENT))
    assert ingest(sqlite_database, tmp_path, STANDARD_INPUT, format="csv")[1] == {"accepted": 210}
    (tmp_path / "e.csv").write_bytes(CONTENT)
    assert ingest(sqlite_database, tmp_path, tmp_path / "e.csv")[1] == {"duplicate": 210}


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (CONTENT, {}, "Standard input does not say what format it has."),
        (b"PAR1", {"format": "parquet"}, "Parquet cannot be read from standard input."),
        (b"PAR1", {"format": "csv"}, "is not text but Parquet"),
        (b"", {"format": "csv"}, "is empty."),
        (gzip.compress(CONTENT)[:-20], {"format": "csv"}, "is a gzip file that is cut off"),
    ],
)
def test_standard_input_bad_as_a_whole(
    sqlite_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: bytes,
    options: dict[str, Any],
    said: str,
) -> None:
    standard_input(monkeypatch, content)
    with pytest.raises(BadInputError) as caught:
        ingest(sqlite_database, tmp_path, STANDARD_INPUT, **options)
    assert said in str(caught.value)


def test_standard_input_is_one_table(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    standard_input(monkeypatch, CONTENT)
    users = {"id": "u", "format": "csv"}
    mapping = Mapping.model_validate({"source": "s", "events": {**EVENTS, "format": "csv"}, "users": users})
    with pytest.raises(BadInputError, match="Standard input can hold one table only"):
        load(sqlite_database, mapping, {"events": STANDARD_INPUT, "users": STANDARD_INPUT}, tmp_path / "r.jsonl")


def test_progress_counts_packed_bytes(tmp_path: Path) -> None:
    path = tmp_path / "e.csv.gz"
    path.write_bytes(gzip.compress(CONTENT))
    with Unpacked(path) as file:
        assert file.read(1 << 20) == CONTENT
        assert file.read(1) == b""
        assert file.consumed == path.stat().st_size
