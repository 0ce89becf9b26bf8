"""Whatever is written as CSV is read back cell by cell, and no bytes at all make a reader fail in an unplanned way."""

import csv
import io
import tempfile
from pathlib import Path
from unittest.mock import patch

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from graph.ingest import streams
from graph.ingest.batch import LINE, Batch
from graph.ingest.mapping import Users
from graph.ingest.readers import open_reader
from graph.storage.errors import PenchantError

# A cell may hold anything but what a line-based text file cannot say: NUL, a lone carriage return, half a character.
CELL = st.text(
    st.characters(exclude_characters="\x00\r", exclude_categories=["Cs"]) | st.sampled_from('",\n"'), max_size=6
)


def batches(content: bytes, name: str, block_bytes: int) -> list[Batch]:
    with tempfile.TemporaryDirectory() as folder, patch.object(streams, "BLOCK_BYTES", block_bytes):
        path = Path(folder) / name
        path.write_bytes(content)
        return list(open_reader(path, Users.model_validate({"id": "a", "attributes": ["b"]})).batches())


@given(rows=st.lists(st.tuples(CELL, CELL), max_size=12), block_bytes=st.integers(1, 64))
def test_csv_comes_back_cell_by_cell(rows: list[tuple[str, str]], block_bytes: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    read = batches(text.getvalue().encode(), "f.csv", block_bytes)
    assert [reject for batch in read for reject in batch.rejects] == []
    frames = [batch.rows for batch in read if batch.rows.height]
    cells = pl.concat(frames).select("a", "b").rows() if frames else []
    assert [tuple(cell or "" for cell in row) for row in cells] == [row for row in rows if any(row)]
    lines = [line for frame in frames for line in frame[LINE]]
    start, expected = 2, []
    for row in rows:
        if any(row):
            expected.append(start)
        start += 1 + row[0].count("\n") + row[1].count("\n")
    assert lines == expected


@given(
    content=st.binary(max_size=60) | st.text('a,b"\n{}[]:1\r', max_size=60).map(str.encode),
    name=st.sampled_from(["f.csv", "f.tsv", "f.jsonl", "f.parquet"]),
    block_bytes=st.integers(1, 64),
    header=st.sampled_from([b"", b"a,b\n", b"a\tb\n", b'{"a": 1}\n', b"PAR1"]),
)
def test_no_bytes_make_a_reader_fail_unplanned(content: bytes, name: str, block_bytes: int, header: bytes) -> None:
    try:
        read = batches(header + content, name, block_bytes)
    except PenchantError:
        return
    numbers = [line for batch in read for line in [*batch.rows[LINE], *(reject.line for reject in batch.rejects)]]
    assert len(set(numbers)) == len(numbers)
    assert all(1 <= line <= (header + content).count(b"\n") + 1 for line in numbers)
