"""A rejects file, mended, is loaded as the rows that it came from; a load that is hopeless stops in time."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import select

from graph.ingest import streams
from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import Mapping, TableName
from graph.ingest.tolerance import Tolerance, parse_tolerance
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.tables import interaction

EVENTS: dict[str, Any] = {
    "user": "u", "item": "i", "kind": "view", "occurred_at": {"column": "t"}, "value": "v",
    "context": ["page"], "unknown_items": "create",
}  # fmt: skip
BAD: list[dict[str, Any]] = [
    {"u": "a", "i": 1, "t": "2020-01-01", "v": 1.5, "page": "x"},
    {"u": "a", "i": 1, "t": "never", "v": 2.0, "page": "x"},
    {"u": None, "i": 2, "t": "2020-01-02", "v": None, "page": None},
    {"u": "b", "i": 2, "t": "2020-01-03", "v": float("nan"), "page": "y"},
    {"u": "b", "i": 3, "t": "2020-01-03", "v": -3.0, "page": "y"},
]
GOOD: list[dict[str, Any]] = [
    BAD[0],
    BAD[1] | {"t": "2020-01-05"},
    BAD[2] | {"u": "c"},
    BAD[3] | {"v": 0.25},
    BAD[4],
]


class Shop:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.rejects = folder / "rejects.jsonl"

    def load(self, path: Path, **options: Any) -> TableSummary:
        mapping = Mapping.model_validate({"source": "shop", "events": options.pop("events", EVENTS)})
        files: dict[TableName, Path] = {"events": path}
        rejects = self.folder / "again.jsonl" if options.get("mended") else self.rejects
        return load(self.database, mapping, files, rejects, **options)[0]

    def counts(self, path: Path, **options: Any) -> dict[str, int]:
        return {name: count for name, count in self.load(path, **options).counts.items() if count}

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.rejects.read_text().removesuffix("\n").split("\n")]

    def write(self, records: list[dict[str, Any]]) -> Path:
        path = self.folder / "mended.jsonl"
        path.write_text("\n".join(json.dumps(record) for record in records))
        return path

    def ids(self) -> list[str]:
        with self.database.connect() as connection:
            return sorted(connection.execute(select(interaction.c.event_id)).scalars())


@pytest.fixture
def shop(sqlite_database: Database, tmp_path: Path) -> Shop:
    return Shop(sqlite_database, tmp_path)


def write(rows: list[dict[str, Any]], path: Path) -> Path:
    frame = pl.DataFrame(
        rows, schema={"u": pl.String, "i": pl.Int64, "t": pl.String, "v": pl.Float64, "page": pl.String}
    )
    match path.suffix:
        case ".parquet":
            frame.write_parquet(path)
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in rows))
        case _:
            frame.write_csv(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_mended_rows_become_the_events_of_the_whole_file(shop: Shop, tmp_path: Path, suffix: str) -> None:
    assert shop.counts(write(BAD, tmp_path / f"bad{suffix}")) == {"accepted": 2, "rejected": 3}
    mended = shop.records()
    for record in mended:
        if isinstance(record["row"], str):  # what is no JSON, a NaN, is kept as its line
            record["row"] = record["row"].replace("NaN", "0.25")
            continue
        for name, wrong, right in (("t", "never", "2020-01-05"), ("u", None, "c"), ("v", "nan", 0.25)):
            value = record["row"][name]
            record["row"][name] = right if (value.lower() if isinstance(value, str) else value) == wrong else value
    assert shop.counts(shop.write(mended), mended=True) == {"accepted": 3}
    assert shop.counts(shop.write(mended), mended=True) == {"duplicate": 3}
    assert shop.counts(write(GOOD, tmp_path / f"good{suffix}")) == {"duplicate": 5}


def test_equal_rejected_rows_keep_their_numbers(shop: Shop, tmp_path: Path) -> None:
    strict_items = {**EVENTS, "unknown_items": "reject"}
    rows = [BAD[0]] * 3
    assert shop.counts(write(rows, tmp_path / "e.csv"), events=strict_items) == {"rejected": 3}
    assert shop.counts(shop.rejects, mended=True) == {"accepted": 3}  # the items are there now
    assert shop.counts(tmp_path / "e.csv") == {"duplicate": 3}


def test_lines_that_were_no_rows_are_mended_as_text(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "e.tsv").write_bytes(
        b"u\ti\tt\tv\tpage\na\t1\t2020-01-01\nb\t\xff\t2020-01-02\t1\tx\nc\t1\t2020-01-02\t1\tx\t\n"
    )
    assert shop.counts(tmp_path / "e.tsv") == {"rejected": 3}
    ragged, broken, long = sorted(shop.records(), key=lambda record: int(record["line"]))
    ragged["row"] += "\t\tx"
    broken["row"] = {"u": "b", "i": "7", "t": "2020-01-02", "v": "1", "page": "x"}
    assert shop.counts(shop.write([ragged, broken, long]), mended=True) == {"accepted": 2, "rejected": 1}
    left = json.loads((tmp_path / "again.jsonl").read_text())
    assert (left["line"], left["reason"], left["columns"]) == (
        3,
        "6 columns instead of 5",
        ["u", "i", "t", "v", "page"],
    )
    (tmp_path / "good.csv").write_text("u,i,t,v,page\na,1,2020-01-01,,x\nb,7,2020-01-02,1,x\n")
    assert shop.counts(tmp_path / "good.csv") == {"duplicate": 2}


def test_text_is_mended_by_the_rules_of_its_own_file_however_often(shop: Shop, tmp_path: Path) -> None:
    """What the file is called, and what separates lines elsewhere, have nothing to do with it."""
    rows = ['a\t1\t2020-01-01\t\tx"y\tz', "b\t1\t2020-01-02\t\tleft\u2028right\tz"]
    (tmp_path / "e.TSV").write_text("u\ti\tt\tv\tpage\n" + "\n".join(rows) + "\n")
    assert shop.counts(tmp_path / "e.TSV") == {"rejected": 2}
    still_bad = shop.write(shop.records())
    assert shop.counts(still_bad, mended=True) == {"rejected": 2}
    second = [json.loads(line) for line in (tmp_path / "again.jsonl").read_text().split("\n") if line]
    for record in second:
        record["row"] = record["row"].removesuffix("\tz")
    assert shop.counts(shop.write(second), mended=True) == {"accepted": 2}
    with shop.database.connect() as connection:
        query = select(interaction.c.context).order_by(interaction.c.occurred_at)
        contexts = connection.execute(query).scalars().all()
    assert [context["page"] for context in contexts] == ['x"y', "left\u2028right"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('a,1,2020-01-01,,"x', "a quote is opened and never closed"),
        ("a,1,2020-01-01,,x\na,2,2020-01-01,,x", "more than one row"),
        ("a,1", "2 columns instead of 5"),
    ],
)
def test_text_that_is_still_no_row_is_rejected_again(shop: Shop, tmp_path: Path, row: str, reason: str) -> None:
    (tmp_path / "e.csv").write_text('u,i,t,v,page\na,1,2020-01-01,,"x,\ny",z\na\n')
    assert shop.counts(tmp_path / "e.csv") == {"rejected": 2}
    several_lines, record = shop.records()
    several_lines["row"] = several_lines["row"].removesuffix(",z")
    mended = shop.write([several_lines, record | {"row": row}])
    assert shop.counts(mended, mended=True) == {"accepted": 1, "rejected": 1}
    assert json.loads((tmp_path / "again.jsonl").read_text())["reason"] == reason


def test_a_table_that_the_mapping_does_not_have_is_told(shop: Shop) -> None:
    path = shop.write([{"table": "evnets", "row": {"u": "a"}}])
    assert shop.counts(path, mended=True) == {"rejected": 1}
    assert "no such table: 'evnets'" in json.loads((shop.folder / "again.jsonl").read_text())["reason"]


def test_what_is_no_line_of_a_rejects_file_is_told_once(shop: Shop, tmp_path: Path) -> None:
    path = tmp_path / "mended.jsonl"
    path.write_text('{"table": "users", "row": {"u": "z"}}\n{"u": "a"}\n{\n\n{"table": "events", "row": 5}\n')
    mapping = Mapping.model_validate({"source": "shop", "users": {"id": "u"}, "events": EVENTS})
    users, events = load(shop.database, mapping, {"users": path, "events": path}, shop.rejects, mended=True)
    assert (users.counts["accepted"], users.counts["rejected"], events.counts["rejected"]) == (1, 2, 1)
    assert [(r["line"], r["reason"].split(":")[0]) for r in shop.records()] == [
        (2, "not a line of a rejects file"),
        (3, "not JSON"),
        (5, "the row is neither an object nor text"),
    ]


@pytest.mark.parametrize("wrong", ["nan_value", "unknown_item", "ragged"])
def test_strict_stops_at_the_first_bad_row(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 128)
    shop = Shop(database, tmp_path)
    rows = [f"u{n},1,2020-01-01,1,x" for n in range(40)]
    bad = {"nan_value": "u,1,2020-01-01,NaN,x", "unknown_item": "u,99,2020-01-01,1,x", "ragged": "u"}
    rows[20] = rows[30] = bad[wrong]
    (tmp_path / "e.csv").write_text("u,i,t,v,page\n" + "\n".join(rows))
    (tmp_path / "first.csv").write_text("u,i,t,v,page\nfirst,1,2020-01-01,1,x\n")
    shop.load(tmp_path / "first.csv")
    events = {**EVENTS, "unknown_items": "reject"}
    with pytest.raises(BadInputError, match=r"e\.csv, line 22: .*--strict stops here"):
        shop.load(tmp_path / "e.csv", events=events, tolerance=Tolerance(strict=True))
    assert len(shop.records()) == 1
    stored = len(shop.ids())
    assert 10 < stored < 30
    assert shop.load(tmp_path / "e.csv", events=events).counts["accepted"] == 38 - (stored - 1)


def test_too_many_rejects_stop_a_hopeless_load(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 256)
    shop = Shop(sqlite_database, tmp_path)
    rows = [f"u{n},1,{'never' if n >= 60 else '2020-01-01'},1,x" for n in range(400)]
    (tmp_path / "e.csv").write_text("u,i,t,v,page\n" + "\n".join(rows))
    with pytest.raises(BadInputError, match=r"rows of events cannot be used, more than 10; the last: no usable time"):
        shop.load(tmp_path / "e.csv", tolerance=parse_tolerance("10", strict=False))
    assert len(shop.ids()) == 60
    assert 10 < len(shop.records()) < 40
    with pytest.raises(BadInputError, match=r"--max-rejects stops here"):
        shop.load(tmp_path / "e.csv", tolerance=parse_tolerance("25%", strict=False))
    assert 20 < len(shop.records()) < 60
    assert shop.load(tmp_path / "e.csv", tolerance=parse_tolerance("85%", strict=False)).counts["rejected"] == 340
    assert shop.load(tmp_path / "e.csv", tolerance=parse_tolerance("340", strict=False)).counts["rejected"] == 340


def test_a_share_is_exact() -> None:
    """29 % of 100 rows are 29 of them; as a product of floats they are 28.999999999999996."""
    share = parse_tolerance("29%", strict=False)
    share.check("events", 100, 29, [])
    with pytest.raises(BadInputError):
        share.check("events", 100, 30, [])


def test_limits() -> None:
    assert parse_tolerance(None, strict=True) == Tolerance(strict=True)
    assert parse_tolerance("0", strict=False) == Tolerance(count=0)
    assert parse_tolerance("0.5 %", strict=False) == Tolerance(share=Fraction(5, 1000))
    for wrong in ("", "-1", "101%", "1.5", "half"):
        with pytest.raises(BadInputError, match="is no limit"):
            parse_tolerance(wrong, strict=False)
