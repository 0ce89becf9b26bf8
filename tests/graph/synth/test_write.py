"""The files can be ingested as they are, the dirt in them is what the truth says, and a seed fixes every byte."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer import Typer
from typer.testing import CliRunner

from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import load_mapping
from graph.snapshot import take_snapshot
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.synth.cli import synth_command
from graph.synth.dirt_kinds import DIRT, FileFormat, kinds_of
from graph.synth.options import Options
from graph.synth.write import write_shop
from migrations.commands import upgrade

SMALL: dict[str, Any] = {"users": 80, "items": 60, "categories": 24, "events": 6_000, "days": 30, "segments": 3}
DIRTY = 0.01  # of each kind


def ingest(database: Database, folder: Path) -> tuple[dict[str, TableSummary], list[dict[str, Any]]]:
    mapping = load_mapping(folder / "shop.toml")
    files = {name: folder / str(table.file) for name in mapping.tables() if (table := mapping.table(name))}
    rejects = folder.parent / f"{folder.name}.rejects.jsonl"
    summaries: dict[str, TableSummary] = {summary.table: summary for summary in load(database, mapping, files, rejects)}
    lines = rejects.read_text().splitlines() if rejects.exists() else []
    return summaries, [json.loads(line) for line in lines]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, file_format: FileFormat) -> None:
    dirt = dict.fromkeys(kinds_of(file_format), DIRTY)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_shop(Options(**SMALL, seed=seed, format=file_format, dirt=dirt), tmp_path / name)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    other = digests(tmp_path / "c")
    assert {name for name, digest in digests(tmp_path / "a").items() if other[name] == digest} == set()


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_clean_shop_is_loaded_whole(database: Database, tmp_path: Path, file_format: FileFormat) -> None:
    write_shop(Options(**SMALL, format=file_format), tmp_path / "shop")
    summaries, rejects = ingest(database, tmp_path / "shop")
    assert rejects == []
    assert {name: summary.counts["accepted"] for name, summary in summaries.items()} == {
        "categories": 24, "items": 60, "users": 80, "events": 6_000,
    }  # fmt: skip
    assert all(summary.rows == summary.counts["accepted"] for summary in summaries.values())
    snapshot = take_snapshot(database, as_of=None)
    assert len(snapshot.events) == 6_000
    truth = pl.read_parquet(tmp_path / "shop" / "truth" / "items.parquet")
    category = dict(truth.select("item", "category").iter_rows())
    ends = zip(*(index.tolist() for index in snapshot.item_category), strict=True)
    stored = {(snapshot.items.external[item].as_py(), snapshot.categories.external[at].as_py()) for item, at in ends}
    assert set(category.items()) <= stored
    assert len(stored) < 1.3 * len(category)


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_dirt_is_set_aside_line_by_line_as_the_truth_says(
    database: Database, tmp_path: Path, file_format: FileFormat
) -> None:
    clean = Options(**SMALL, format=file_format)
    dirty = Options(**SMALL, format=file_format, dirt=dict.fromkeys(kinds_of(file_format), DIRTY))
    write_shop(clean, tmp_path / "clean")
    written = write_shop(dirty, tmp_path / "dirty")
    planted = pl.read_parquet(tmp_path / "dirty" / "truth" / "dirt.parquet")
    assert Counter(planted["dirt"].to_list()) == written.dirt
    assert json.loads((tmp_path / "dirty" / "truth" / "truth.json").read_text())["dirt"] == dict(written.dirt)
    assert set(written.dirt) == set(kinds_of(file_format))
    assert all(30 < count < 90 for kind, count in written.dirt.items() if kind != "cycle")

    summaries, rejects = ingest(database, tmp_path / "dirty")
    assert summaries["events"].counts["accepted"] == 6_000
    assert summaries["events"].counts["duplicate"] == written.dirt["duplicate"]
    found = {(reject["table"], reject["line"]): reject["reason"] for reject in rejects}
    expected = {(table, line): reason for table, line, _, reason in planted.iter_rows() if reason is not None}
    assert found.keys() == expected.keys()
    assert [key for key, reason in expected.items() if not found[key].startswith(reason)] == []

    # Good events and catalog are untouched by the dirt: what is stored is what the clean shop stores.
    stored = take_snapshot(database, as_of=None).content_hash
    again = Database(f"sqlite:///{tmp_path}/clean.db")
    upgrade(again)
    ingest(again, tmp_path / "clean")
    assert take_snapshot(again, as_of=None).content_hash == stored
    again.close()


def test_the_command_makes_a_shop_and_says_how_to_load_it(tmp_path: Path) -> None:
    app = Typer()
    app.command()(synth_command)
    sizes = [text for name, size in SMALL.items() for text in (f"--{name}", str(size))]
    out = tmp_path / "made"
    result = CliRunner().invoke(app, [*sizes, "--out", str(out), "--dirt", "0.02", "--format", "parquet"])
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "penchant ingest" in said
    assert "6,0" in said
    truth = json.loads((out / "truth" / "truth.json").read_text())
    assert truth["lines"]["events"] == 6_000 + sum(truth["dirt"].values()) - truth["dirt"]["cycle"]
    assert set(truth["dirt"]) <= set(DIRT)
    again = CliRunner().invoke(app, [*sizes, "--out", str(out)])
    assert again.exit_code == 2
    assert "is not empty" in " ".join(again.output.split())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(BadInputError, match="is not empty"):
        write_shop(Options(**SMALL), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
