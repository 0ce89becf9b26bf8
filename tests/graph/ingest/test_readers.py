"""Every format gives the same columns, every row keeps its line, every bad line is set aside with a reason."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from graph.ingest import dialect, parquet, streams
from graph.ingest.batch import LINE
from graph.ingest.dialect import Dialect
from graph.ingest.expressions import text
from graph.ingest.json_lines import column_of
from graph.ingest.mapping import Users
from graph.ingest.readers import open_reader
from graph.ingest.rejects import Reject
from graph.storage.errors import BadInputError, NotFoundError


def read(path: Path, content: str | bytes, **options: Any) -> tuple[pl.DataFrame, list[Reject]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    table = Users.model_validate({"id": "a", "attributes": ["b"], **options})
    batches = list(open_reader(path, table).batches())
    rows = [batch.rows for batch in batches if batch.rows.height]
    return pl.concat(rows, how="diagonal_relaxed"), [reject for batch in batches for reject in batch.rejects]


def where(rejects: list[Reject]) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in rejects]


CSV = Dialect(",", quoted=True)
CLEAN = {"a": ["1", "2", "3"], "b": ["x", None, "z"], LINE: [2, 3, 4]}


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("f.csv", "a,b\n1,x\n2,\n3,z\n", {}),
        ("f.csv", "\ufeffa,b\r\n1,x\r\n2,\r\n3,z", {}),
        ("f.tsv", "a\tb\n1\tx\n2\t\n3\tz\n", {}),
        ("f.dat", "a|b\n1|x\n2|\n3|z\n", {"format": "csv", "delimiter": "|"}),
        ("f.csv", "a;b\n1;x\n2;\n3;z\n".encode("utf-16"), {"delimiter": ";", "encoding": "utf-16"}),
    ],
)
def test_delimited_dialects(tmp_path: Path, name: str, content: str | bytes, options: dict[str, Any]) -> None:
    rows, rejects = read(tmp_path / name, content, **options)
    assert rows.to_dict(as_series=False) == CLEAN
    assert rejects == []


def test_a_file_without_header_takes_names_from_the_mapping(tmp_path: Path) -> None:
    rows, _ = read(tmp_path / "f.csv", "1,x\n2,y\n", header=False, columns=["a", "b"])
    assert rows.to_dict(as_series=False) == {"a": ["1", "2"], "b": ["x", "y"], LINE: [1, 2]}


def test_latin_text_is_read_in_its_encoding(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.csv", "a,b\n1,Käse\n2,\x81\n".encode("latin-1"), encoding="cp1252")
    assert rows["b"].to_list() == ["Käse"]
    assert where(rejects) == [(3, "broken encoding: not valid cp1252")]


def test_quotes_protect_delimiters_and_line_breaks_and_lines_stay_exact(tmp_path: Path) -> None:
    content = 'a,b\n1,"x, ""y""\nsecond line"\n2,5" tv\n\n3,"z"\n4\n'
    rows, rejects = read(tmp_path / "f.csv", content)
    assert rows.to_dict(as_series=False) == {
        "a": ["1", "2", "3"],
        "b": ['x, "y"\nsecond line', '5" tv', "z"],
        LINE: [2, 4, 6],
    }
    assert where(rejects) == [(7, "1 columns instead of 2")]


def test_without_quoting_a_quote_is_a_letter(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.tsv", 'a\tb\n1\t"x\n2\ty"\n')
    assert rows["b"].to_list() == ['"x', 'y"']
    assert rejects == []


def test_ragged_rows_are_set_aside_with_line_reason_and_text(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.csv", "a,b\n1,x\n2\n\n3,y,z\n4,w\n,\n")
    assert rows[LINE].to_list() == [2, 6]
    assert rejects == [
        Reject(3, "1 columns instead of 2", "2", ["a", "b"], CSV),
        Reject(5, "3 columns instead of 2", "3,y,z", ["a", "b"], CSV),
    ]


def test_broken_bytes_cost_one_line(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.csv", b"a,b\n1,x\n2,\xff\xfe\n3,z\n")
    assert rows[LINE].to_list() == [2, 4]
    assert rejects == [Reject(3, "broken encoding: not valid utf-8", "2,\\xff\\xfe", ["a", "b"], CSV)]


def test_a_quote_never_closed_costs_one_line(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.csv", 'a,b\n1,"x\n2,y\n3,z\n')
    assert rows.to_dict(as_series=False) == {"a": ["2", "3"], "b": ["y", "z"], LINE: [3, 4]}
    assert where(rejects) == [(2, "a quote is opened and never closed")]


@pytest.mark.parametrize("block_bytes", [7, 16, 64])
def test_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int) -> None:
    lines = [f'{n},"v{n}\nw{n}"' if n % 3 == 0 else f"{n}" if n % 7 == 0 else f"{n},v{n}" for n in range(1, 200)]
    content = "a,b\n" + "\n".join(lines) + "\n"
    whole = read(tmp_path / "f.csv", content)
    assert len(whole[1]) == len([n for n in range(1, 200) if n % 7 == 0 and n % 3])
    monkeypatch.setattr(streams, "BLOCK_BYTES", block_bytes)
    split = read(tmp_path / "f.csv", content)
    assert split[0].equals(whole[0])
    assert split[1] == whole[1]


def test_an_endless_quote_does_not_gather_the_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK_BYTES", 1_000)
    monkeypatch.setattr(streams, "LONGEST_RECORD_BYTES", 4_000)
    monkeypatch.setattr(dialect, "LONGEST_RECORD_LINES", 10)
    path = tmp_path / "f.csv"
    content = 'a,b\n1,"x\n' + "".join(f"{n},y\n" for n in range(5_000))
    rows, rejects = read(path, content)
    assert where(rejects) == [(2, "a quote is opened and never closed")]
    assert rows.height == 5_000
    assert max(len(block.text) for block in streams.blocks(path, quote=b'"')) < 6_000


def test_json_lines_keep_types_and_lines(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.jsonl", '{"a": 1, "b": "x"}\n{"a": 2, "b": null, "c": [1]}\n')
    assert rows["a"].to_list() == [1, 2]
    assert rows[LINE].to_list() == [1, 2]
    assert rejects == []


def test_bad_json_lines_are_set_aside_one_by_one(tmp_path: Path) -> None:
    lines = [
        b'{"a": 1, "b": {"k": 1}}',
        b'{"a": 2',
        b"",
        b"[3]",
        b'{"a": NaN}',
        b'{"a": "\xff"}',
        b'{"a": "\\ud800"}',
        b'{"a": "8", "b": true}',
        b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ]
    rows, rejects = read(tmp_path / "f.jsonl", b"\n".join(lines))
    assert rows["a"].to_list() == ["1", "8"]
    assert rows[LINE].to_list() == [1, 8]
    assert where(rejects) == [
        (2, "not JSON: Expecting ',' delimiter at character 8"),
        (4, "not a JSON object: a list"),
        (5, "not JSON: NaN is no JSON number"),
        (6, "broken encoding: not valid utf-8"),
        (7, "broken encoding: not valid utf-8"),
        (9, "nested too deeply: more than 64 objects and lists in each other"),
    ]
    assert rejects[0].row == '{"a": 2'


def test_parquet_counts_rows_over_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 4)
    path = tmp_path / "f.parquet"
    pl.DataFrame({"a": range(10), "b": ["x"] * 10, "unused": [0] * 10}).write_parquet(path)
    batches = list(open_reader(path, Users(id="a", attributes={"b": "b"})).batches())
    assert [batch.rows.height for batch in batches] == [4, 4, 2]
    assert pl.concat([batch.rows for batch in batches])[LINE].to_list() == list(range(1, 11))
    assert batches[0].rows.columns == ["a", "b", LINE]


def parquet_bytes(folder: Path) -> bytes:
    pl.DataFrame({"a": range(1000), "b": ["x"] * 1000}).write_parquet(folder / "whole.parquet")
    return (folder / "whole.parquet").read_bytes()


def test_parquet_keeps_nothing_of_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "BATCH_ROWS", 10_000)
    path, groups, rows = tmp_path / "large.parquet", 20, 50_000
    chance = np.random.default_rng(0)
    with pq.ParquetWriter(path, pa.schema([("i", pa.float64())])) as writer:
        for _ in range(groups):
            writer.write_table(pa.table({"i": chance.random(rows)}))
    before, most = pa.total_allocated_bytes(), 0
    for _ in open_reader(path, Users(id="i")).batches():
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < path.stat().st_size / 3


def test_a_truncated_parquet_is_refused(tmp_path: Path) -> None:
    content = parquet_bytes(tmp_path)
    with pytest.raises(BadInputError, match=r"f\.parquet is a truncated or damaged Parquet file .* Fetch it again\."):
        read(tmp_path / "f.parquet", content[: len(content) // 2])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("f.csv", "", "is empty. A file with no rows still needs its header line."),
        ("f.csv", "a;b\n1;2\n", "has no column 'a'. It has a single column 'a;b'; check format and delimiter"),
        ("f.csv", "A1,x,y\n", "has no column 'a'. It has A1, x, y; correct the mapping."),
        ("f.csv", "a,bb\n", "has no column 'b'. Did you mean 'bb'?"),
        ("f.csv", "a,b,a\n", "has the column 'a' more than once."),
        (
            "f.csv",
            gzip.compress(gzip.compress(b"a,b\n", mtime=0), mtime=0),
            "is not text but gzip. Unpack or convert it first.",
        ),
        ("f.csv", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "is a gzip file that is cut off"),
        ("f.csv", gzip.compress(b"PAR1....", mtime=0), "is not text but Parquet."),
        (
            "f.parquet.gz",
            gzip.compress(b"PAR1....", mtime=0),
            "is packed with gzip, and Parquet cannot be read like that.",
        ),
        ("f.csv", b"\x1f\x8bnot at all", "is a damaged gzip file"),
        ("f.csv", b"PK\x03\x04", "is not text but zip."),
        ("f.csv", "a,b\n".encode("utf-16"), "is written in utf-16. Say encoding = 'utf-16' in the mapping."),
        ("f.csv", b"a,b\n\x00\x00", "it has zero bytes near its start."),
        ("f.parquet", "a,b\n1,2\n", "is not a Parquet file. Say what it is with format ="),
        ("f.data", "a,b\n", "does not say what format it has. Say format ="),
    ],
)
def test_files_bad_as_a_whole(tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        read(tmp_path / name, content)
    assert said in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_parquet_called_csv_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"is not text but Parquet\. Say format = 'parquet'"):
        read(tmp_path / "f.csv", parquet_bytes(tmp_path))


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no file .*none\.csv"):
        open_reader(tmp_path / "none.csv", Users(id="a"))
    with pytest.raises(BadInputError, match="is a folder"):
        open_reader(tmp_path, Users(id="a"))


def test_a_block_of_json_is_the_same_at_once_and_line_by_line(tmp_path: Path) -> None:
    objects = [{"a": n, "b": f"v{n}"} for n in range(50)]
    content = "\n".join(json.dumps(value) for value in objects)
    fast, _ = read(tmp_path / "f.jsonl", content)
    slow, rejects = read(tmp_path / "f.jsonl", content + "\n{\n")
    assert slow.equals(fast)
    assert [reject.line for reject in rejects] == [51]


def test_broken_bytes_in_a_ragged_row_and_a_legitimate_replacement_character(tmp_path: Path) -> None:
    rows, rejects = read(tmp_path / "f.csv", b"a,b\n1,\xef\xbf\xbd\n\xd9\n3,z\n")
    assert rows["b"].to_list() == ["\N{REPLACEMENT CHARACTER}", "z"]
    assert where(rejects) == [(3, "broken encoding: not valid utf-8")]


@pytest.mark.parametrize("value", [42.0, 0.1, 1e-7, 2.0**53, 1e16, 1e300, -3.0, 12345.678])
def test_a_number_is_one_id_whether_or_not_a_neighbour_is_text(value: float) -> None:
    alone = pl.DataFrame({"v": [value]})
    expected = alone.select(text(alone, "v")).item()
    assert column_of("v", [value, "x", None]).to_list() == [expected, "x", None]
    assert column_of("v", [[value, "x"], value]).to_list() == [[expected, "x"], [expected]]


def test_a_block_that_is_read_record_by_record_takes_each_line_once(tmp_path: Path) -> None:
    """Whoever began anew at the first line for every record would still be at it when the test is timed out."""
    lines = 300_000
    rows, rejects = read(tmp_path / "f.csv", 'a,b\n"1\n",x\n' + "2,y\n" * lines)
    assert (rows.height, rows[LINE][-1], rejects) == (lines + 1, lines + 3, [])
