"""Files end up in the store once, whatever happens; what cannot be used ends up in the rejects file with its line."""

import gc
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from sqlalchemy import func, select

from graph.ingest import parquet, streams
from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import Mapping, TableName
from graph.storage.categories import get_categories
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.items import get_items
from graph.storage.tables import category, interaction, item, user
from graph.storage.times import parse_time

EVENTS: dict[str, Any] = {"user": "u", "item": "i", "kind": "view", "occurred_at": {"column": "t"}}
T = "2020-01-01"


class Shop:
    """A folder of files, loaded into a store; `rejected` is the last load's rejects file."""

    def __init__(self, database: Database | None, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.rejects = folder / "rejects.jsonl"

    def load(self, files: dict[str, str], **tables: dict[str, Any]) -> dict[str, TableSummary]:
        mapping = Mapping.model_validate({"source": "shop", **tables})
        paths: dict[TableName, Path] = {}
        for name in mapping.tables():
            table = mapping.table(name)
            assert table is not None
            paths[name] = self.folder / (f"{name}.csv" if table.file is None else table.file)
            if name in files:
                paths[name].write_text(files[name])
        return {summary.table: summary for summary in load(self.database, mapping, paths, self.rejects)}

    def rejected(self) -> list[tuple[str, int, str]]:
        if not self.rejects.exists():
            return []
        records = [json.loads(line) for line in self.rejects.read_text().splitlines()]
        return [(record["table"], record["line"], record["reason"]) for record in records]

    def count(self, table: Any) -> int:
        assert self.database is not None
        with self.database.connect() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()


@pytest.fixture
def shop(database: Database, tmp_path: Path) -> Shop:
    return Shop(database, tmp_path)


@pytest.fixture
def sqlite_shop(sqlite_database: Database, tmp_path: Path) -> Shop:
    return Shop(sqlite_database, tmp_path)


def counts(summary: TableSummary) -> dict[str, int]:
    return {name: count for name, count in summary.counts.items() if count}


FILES = {
    "categories": "c,n,p\n2,Tea,1\n1,Drinks,\n",
    "items": "i,n,cs,dept\n10,Green,2,Food\n11,Black,2 1,Food\n12,Mug,,\n",
    "users": "u,age\na,30\nb,\n",
    "events": "u,i,t,v\na,10,2020-01-01,1\na,10,2020-01-01,1\nb,11,2020-01-02,\nc,12,2020-01-03,2\n",
}
TABLES: dict[str, dict[str, Any]] = {
    "categories": {"id": "c", "name": "n", "parent": "p"},
    "items": {
        "id": "i",
        "name": "n",
        "categories": [{"ids": "cs", "separator": " "}, {"columns": ["dept"], "root": "Department"}],
    },
    "users": {"id": "u", "attributes": ["age"]},
    "events": {**EVENTS, "value": "v"},
}


def test_all_tables_and_twice_changes_nothing(shop: Shop) -> None:
    assert shop.database is not None
    first = shop.load(FILES, **TABLES)
    assert {name: counts(summary) for name, summary in first.items()} == {
        "categories": {"accepted": 2},
        "items": {"accepted": 3},
        "users": {"accepted": 2},
        "events": {"accepted": 4},
    }
    assert (shop.count(item), shop.count(user), shop.count(category), shop.count(interaction)) == (3, 3, 4, 4)
    assert get_categories(shop.database, ["2"])["2"].parent == "1"
    assert get_categories(shop.database, ["Department > Food"])["Department > Food"].name == "Food"
    assert set(get_items(shop.database, ["11"])["11"].categories) == {"1", "2", "Department > Food"}

    second = shop.load(FILES, **TABLES)
    assert {name: counts(summary) for name, summary in second.items()} == {
        "categories": {"unchanged": 2},
        "items": {"unchanged": 3},
        "users": {"unchanged": 2},
        "events": {"duplicate": 4},
    }
    assert (shop.count(item), shop.count(user), shop.count(category), shop.count(interaction)) == (3, 3, 4, 4)
    assert shop.rejected() == []


def test_an_interrupted_load_is_run_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 64)  # about four events a batch
    lines = "".join(f"u{n % 3},{10 + n % 2},2020-01-01\n" for n in range(40))  # equal events across batches
    files = {"items": FILES["items"], "events": "u,i,t\n" + lines}
    tables = {"items": {"id": "i"}, "events": EVENTS}
    calls = 0

    def interrupted(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:
            raise KeyboardInterrupt
        return append_events(*args, **options)

    monkeypatch.setattr("graph.ingest.load.append_events", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shop.load(files, **tables)
    stored = shop.count(interaction)
    assert 0 < stored < 40
    monkeypatch.setattr("graph.ingest.load.append_events", append_events)
    assert counts(shop.load(files, **tables)["events"]) == {"accepted": 40 - stored, "duplicate": stored}
    assert shop.count(interaction) == 40


def test_equal_events_are_counted_over_batches(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"items": FILES["items"], "events": "u,i,t\n" + f"a,10,{T}\n" * 30}
    tables = {"items": {"id": "i"}, "events": EVENTS}
    monkeypatch.setattr(streams, "BLOCK_BYTES", 64)
    assert counts(sqlite_shop.load(files, **tables)["events"]) == {"accepted": 30}
    monkeypatch.setattr(streams, "BLOCK_BYTES", 100)  # other batches, same events
    assert counts(sqlite_shop.load(files, **tables)["events"]) == {"duplicate": 30}


def test_dirty_events_name_line_and_reason(shop: Shop) -> None:
    rows = [
        "a,10,2020-01-01,view,1,e1",  # line 2, the only good one
        ",10,2020-01-01,view,1,e2",
        "a,,2020-01-01,view,1,e3",
        "a,10,someday,view,1,e4",
        "a,10,2020-01-01,view,NaN,e5",
        "a,10,2020-01-01,view,inf,e6",
        "a,10,2020-01-01,gaze,1,e7",
        "a,99,2020-01-01,view,1,e8",
        "a,10,2020-01-01,view,1",
        "a,11,2020-01-01,view,1,e1",
        "a,10,2020-01-01,view,1,e1",
        "a,10,2999-01-01,view,1,e9",
        "a,10,2020-01-01,,1,e10",
    ]
    table = {**EVENTS, "kind": {"column": "k"}, "value": "v", "event_id": "e"}
    files = {"items": FILES["items"], "events": "u,i,t,k,v,e\n" + "\n".join(rows) + "\n"}
    summary = shop.load(files, items={"id": "i"}, events=table)["events"]
    assert counts(summary) == {"accepted": 1, "duplicate": 1, "rejected": 11}
    assert summary.rows == 13
    assert sum(summary.reasons.values()) == 11
    rejected = {line: reason for _, line, reason in shop.rejected()}
    assert set(rejected) == {3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14}
    expected = {
        3: "no user",
        4: "no item",
        5: "no usable time in t: 'someday'",
        6: "value is not a finite number: 'NaN'",
        7: "value is not a finite number: 'inf'",
        8: "unknown kind: ",
        9: "unknown item: ",
        10: "5 columns instead of 6",
        11: "conflict: ",
        13: "no usable time in t: '2999-01-01'",
        14: "no kind",
    }
    for line, reason in expected.items():
        assert rejected[line].startswith(reason), (line, rejected[line])
    assert "99" in rejected[9]
    assert "gaze" in rejected[8]


def test_unknown_items_are_created_when_asked(shop: Shop) -> None:
    files = {"events": f"u,i,t\na,99,{T}\na,99,2019-01-01\n"}
    assert counts(shop.load(files, events={**EVENTS, "unknown_items": "create"})["events"]) == {"accepted": 2}
    assert shop.database is not None
    stub = get_items(shop.database, ["99"])["99"]
    assert (stub.name, stub.valid_from) == (None, parse_time("2019-01-01"))


def test_what_a_batch_was_written_with_goes_with_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays flat however many batches there are, also where Python is not about to look for cycles."""
    monkeypatch.setattr(streams, "BLOCK_BYTES", 4_000)
    rows = "".join(f"user{n:05},1,2020-01-01\n" for n in range(4_000))
    gc.collect()
    gc.disable()
    try:
        events = shop.load({"events": f"u,i,t\n{rows}"}, events={**EVENTS, "unknown_items": "create"})["events"]
        lists = [each for each in gc.get_objects() if type(each) is list and len(each) > 100]
        left = sum(isinstance(each[0], str) and each[0].startswith("user0") for each in lists)
    finally:
        gc.enable()
    assert events.counts["accepted"] == 4_000
    assert left <= 4  # of the last batch; without collecting several for each of twenty


def test_repeated_catalog_rows(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 12)  # repeats stand in different batches
    files = {"items": "i,n\n1,Tea\n2,Mug\n1,Tea\n1,Coffee\n"}
    summary = sqlite_shop.load(files, items={"id": "i", "name": "n"})["items"]
    assert counts(summary) == {"accepted": 2, "repeated": 1, "rejected": 1}
    assert sqlite_shop.rejected() == [("items", 5, "id given twice with other content: first in line 2")]
    assert sqlite_shop.database is not None
    assert get_items(sqlite_shop.database, ["1"])["1"].name == "Tea"


def test_several_versions_of_an_item_are_no_repeats(sqlite_shop: Shop) -> None:
    files = {"items": "i,n,since\n1,Tea,2019-01-01\n1,Green tea,2020-01-01\n"}
    table = {"id": "i", "name": "n", "valid_from": {"column": "since"}}
    assert counts(sqlite_shop.load(files, items=table)["items"]) == {"accepted": 2}
    assert sqlite_shop.database is not None
    assert get_items(sqlite_shop.database, ["1"])["1"].name == "Green tea"


def test_dangling_and_circular_categories_are_named(shop: Shop) -> None:
    files = {
        "categories": "c,n,p\n1,A,2\n2,B,1\n3,C,9\n4,D,\n5,E,4\n",
        "items": "i,cs\n1,4\n2,77\n",
    }
    summaries = shop.load(files, categories=TABLES["categories"], items={"id": "i", "categories": [{"ids": "cs"}]})
    assert counts(summaries["categories"]) == {"accepted": 2, "rejected": 3}
    rejected = {(table, line): reason for table, line, reason in shop.rejected()}
    assert set(rejected) == {("categories", 2), ("categories", 3), ("categories", 4), ("items", 3)}
    assert rejected["categories", 2].startswith("cycle: ")
    assert "1 > 2 > 1" in rejected["categories", 2]
    assert rejected["categories", 4].startswith("unknown category: ")
    assert "77" in rejected["items", 3]


def test_rejects_keep_the_row_and_vanish_with_the_next_clean_load(sqlite_shop: Shop) -> None:
    sqlite_shop.load({"users": "u,age\n,30\n,31,x\n"}, users=TABLES["users"])
    records = [json.loads(line) for line in sqlite_shop.rejects.read_text().splitlines()]
    file = str(sqlite_shop.folder / "users.csv")
    assert records == [
        {
            "table": "users",
            "file": file,
            "line": 3,
            "reason": "3 columns instead of 2",
            "row": ",31,x",
            "columns": ["u", "age"],
            "delimiter": ",",
            "quoted": True,
        },
        {"table": "users", "file": file, "line": 2, "reason": "no id", "row": {"u": None, "age": "30"}},
    ]
    with pytest.raises(BadInputError):
        sqlite_shop.load({"users": "v,age\na,30\n"}, users=TABLES["users"])
    assert sqlite_shop.rejects.exists()  # a load that read nothing has nothing to say of it
    sqlite_shop.load({"users": "u,age\na,30\n"}, users=TABLES["users"])
    assert not sqlite_shop.rejects.exists()


def test_parquet_and_json_lines_end_as_the_same_events(sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 3)
    rows = pl.DataFrame({"u": [1, 2, 3, 4, 5], "i": [10, 11, 12, 10, 99], "t": [T] * 5, "v": [1.0, 2.5, None, 4, 5]})
    rows.write_parquet(sqlite_shop.folder / "e.parquet")
    rows.write_ndjson(sqlite_shop.folder / "e.jsonl")
    rows.write_csv(sqlite_shop.folder / "e.csv")
    catalog = {"items": FILES["items"]}
    tables = {"items": {"id": "i"}, "events": {**EVENTS, "value": "v", "file": "e.parquet"}}
    assert counts(sqlite_shop.load(catalog, **tables)["events"]) == {"accepted": 4, "rejected": 1}
    assert sqlite_shop.rejected()[0][:2] == ("events", 5)
    for other, line in (("e.jsonl", 5), ("e.csv", 6)):
        tables["events"]["file"] = other
        assert counts(sqlite_shop.load(catalog, **tables)["events"]) == {"duplicate": 4, "rejected": 1}
        assert sqlite_shop.rejected()[0][:2] == ("events", line)


def test_a_bad_file_stops_everything_before_anything_is_written(sqlite_shop: Shop) -> None:
    with pytest.raises(BadInputError, match="has no column 't'"):
        sqlite_shop.load({**FILES, "events": "u,i,time\na,10,2020-01-01\n"}, **TABLES)
    assert sqlite_shop.count(item) == 0


def test_json_lines_without_a_needed_column_are_refused(sqlite_shop: Shop) -> None:
    path = sqlite_shop.folder / "u.jsonl"
    path.write_text('{"user": "a"}\n')
    with pytest.raises(BadInputError, match=r"u\.jsonl has no column 'u'"):
        sqlite_shop.load({}, users={"id": "u", "file": "u.jsonl"})
    summary = sqlite_shop.load({}, users={"id": "user", "attributes": ["age"], "file": "u.jsonl"})["users"]
    assert counts(summary) == {"accepted": 1}
    assert summary.notes == ["no line of u.jsonl has 'age'"]


def test_a_dry_run_checks_and_writes_nothing(tmp_path: Path) -> None:
    shop = Shop(None, tmp_path)
    files = {**FILES, "events": f"u,i,t,v\na,10,{T},x\na,10,{T},1\n"}
    summary = shop.load(files, **TABLES)["events"]
    assert (summary.rows, counts(summary)) == (2, {"rejected": 1})
    assert shop.rejected() == [("events", 2, "value is not a finite number: 'x'")]


def test_progress_reaches_the_end_of_every_file(sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "u.csv").write_text("u,age\na,1\n")
    seen: list[tuple[str, int, int]] = []
    mapping = Mapping.model_validate({"source": "s", "users": TABLES["users"]})
    load(sqlite_database, mapping, {"users": tmp_path / "u.csv"}, tmp_path / "r.jsonl", lambda *step: seen.append(step))
    assert seen == [("users", 10, 10)]
