"""`penchant ingest` at the command line: exit codes, what it says, which files it takes."""

import json
from pathlib import Path

import pytest
import typer
from sqlalchemy import func, select
from typer.testing import CliRunner, Result

from graph.ingest.cli import ingest_command
from graph.storage.database import Database
from graph.storage.tables import interaction, item

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(ingest_command)

MAPPING = """
source = "shop"
[items]
file = "items.csv"
id = "i"
[events]
file = "events.csv"
user = "u"
item = "i"
kind = "view"
occurred_at = { column = "t" }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a mapping and its files."""
    (tmp_path / "shop.toml").write_text(MAPPING)
    (tmp_path / "items.csv").write_text("i\n10\n11\n")
    (tmp_path / "events.csv").write_text("u,i,t\na,10,2020-01-01\na,99,2020-01-02\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def ingest(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def stored(url: str) -> tuple[int, int]:
    database = Database(url)
    with database.connect() as connection:
        counts = [connection.execute(select(func.count()).select_from(t)).scalar_one() for t in (item, interaction)]
    database.close()
    return counts[0], counts[1]


def test_a_load_says_what_became_of_the_rows(folder: Path, sqlite_url: str) -> None:
    result = ingest("shop.toml", "--database", sqlite_url)
    assert result.exit_code == 0
    assert stored(sqlite_url) == (2, 1)
    assert "unknown item" in result.stderr
    assert "shop.rejects.jsonl" in result.stderr
    record = json.loads((folder / "shop.rejects.jsonl").read_text())
    assert (record["table"], record["line"], record["row"]["i"]) == ("events", 3, "99")
    line = next(line for line in result.stderr.splitlines() if "events.csv" in line)
    assert line.replace("│", " ").split()[:5] == ["events", "events.csv", "2", "1", "1"]


def test_the_database_comes_from_the_environment(
    folder: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENCHANT_DATABASE_URL", sqlite_url)
    assert ingest("shop.toml", "--only", "items").exit_code == 0
    assert stored(sqlite_url) == (2, 0)


def test_files_on_the_command_line_win(folder: Path, sqlite_url: str) -> None:
    (folder / "today.csv").write_text("u,i,t\nb,11,2020-01-03\n")
    result = ingest("shop.toml", "--database", sqlite_url, "--events", "today.csv", "--rejects", "bad.jsonl")
    assert result.exit_code == 0
    assert stored(sqlite_url) == (2, 1)
    assert not (folder / "bad.jsonl").exists()


def test_base_is_the_folder_of_the_files(folder: Path, sqlite_url: str) -> None:
    (folder / "elsewhere").mkdir()
    for name in ("items.csv", "events.csv"):
        (folder / name).rename(folder / "elsewhere" / name)
    assert ingest("shop.toml", "--database", sqlite_url).exit_code == 2
    assert ingest("shop.toml", "--database", sqlite_url, "--base", "elsewhere").exit_code == 0


def test_a_table_without_a_file_is_left_out(folder: Path, sqlite_url: str) -> None:
    (folder / "shop.toml").write_text(MAPPING.replace('file = "events.csv"', "").replace('file = "items.csv"', ""))
    result = ingest("shop.toml", "--database", sqlite_url)
    assert result.exit_code == 2
    assert "There is no file to load." in result.stderr
    assert ingest("shop.toml", "--database", sqlite_url, "--items", "items.csv").exit_code == 0
    assert stored(sqlite_url) == (2, 0)


def test_a_dry_run_needs_no_store(folder: Path) -> None:
    result = ingest("shop.toml", "--dry-run", "--database", "sqlite:///none.db")
    assert result.exit_code == 0
    assert "nothing written" in result.stderr
    assert not (folder / "none.db").exists()


def test_every_row_rejected_is_a_failure(folder: Path, sqlite_url: str) -> None:
    (folder / "events.csv").write_text("u,i,t\n,10,2020-01-01\n,10,2020-01-01\n")
    assert ingest("shop.toml", "--database", sqlite_url).exit_code == 1


@pytest.mark.parametrize(
    ("file", "content", "arguments", "said"),
    [
        ("events.csv", "u,i,time\n", [], "events.csv has no column 't'. It has u, i, time; correct the mapping."),
        ("events.csv", "", [], "events.csv is empty."),
        ("events.csv", "PAR1....", [], "events.csv is not text but Parquet. Say format = 'parquet' in the mapping."),
        ("shop.toml", "source", [], "shop.toml is not valid TOML"),
        ("x", "", ["--users", "x"], "The mapping describes no table 'users'. It has items, events."),
        ("x", "", ["--only", "carts"], "The mapping describes no table 'carts'."),
        ("x", "", ["--rejects", "events.csv"], "would overwrite the file that is read."),
        ("x", "", ["--events", "none.csv"], "There is no file none.csv."),
        ("x", "", ["--database", "sqlite:///empty.db"], "penchant db upgrade"),
        ("x", "", ["--max-rejects", "few"], "--max-rejects few is no limit."),
        ("x", "", ["--events", "*.jsonl"], "No file matches *.jsonl."),
        ("x", "", ["--events", "-"], "Standard input does not say what format it has."),
        ("x", "", ["--rejects", "events.csv", "--events", "e*.csv"], "would overwrite the file that is read."),
        ("x", "", ["--from-rejects", "x", "--items", "x"], "--from-rejects takes the place of the tables' files."),
        ("x", "", ["--from-rejects", "none"], "There is no file none."),
    ],
)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(
    folder: Path, sqlite_url: str, file: str, content: str, arguments: list[str], said: str
) -> None:
    (folder / file).write_text(content)
    result = ingest("shop.toml", *(arguments if "--database" in arguments else ["--database", sqlite_url, *arguments]))
    assert result.exit_code == 2
    assert said.replace(" ", "") in "".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert stored(sqlite_url) == (0, 0)


def test_strict_is_exit_code_2_with_line_and_reason(folder: Path, sqlite_url: str) -> None:
    result = ingest("shop.toml", "--database", sqlite_url, "--strict")
    assert result.exit_code == 2
    assert "events.csv, line 3: unknown item" in result.stderr
    assert stored(sqlite_url) == (2, 1)
    assert ingest("shop.toml", "--database", sqlite_url, "--max-rejects", "0").exit_code == 2
    assert ingest("shop.toml", "--database", sqlite_url, "--max-rejects", "50%").exit_code == 0


def test_patterns_and_standard_input(folder: Path, sqlite_url: str) -> None:
    (folder / "shop.toml").write_text(
        MAPPING.replace('"events.csv"', '"events*.csv"').replace('"u"', '"u"\nformat = "csv"')
    )
    (folder / "events2.csv").write_text("u,i,t\nb,11,2020-01-03\n")
    result = ingest("shop.toml", "--database", sqlite_url)
    assert result.exit_code == 0
    assert stored(sqlite_url) == (2, 2)
    assert "2 files" in result.stderr
    arguments = ["shop.toml", "--database", sqlite_url, "--events", "-"]
    piped = CliRunner().invoke(app, arguments, input="u,i,t\nc,11,2020-01-03\n", catch_exceptions=False)
    assert piped.exit_code == 0
    assert "standard input" in piped.stderr
    assert stored(sqlite_url) == (2, 3)


def test_the_rejects_file_is_loaded_once_mended(folder: Path, sqlite_url: str) -> None:
    assert ingest("shop.toml", "--database", sqlite_url).exit_code == 0
    rejects = folder / "shop.rejects.jsonl"
    rejects.write_text(rejects.read_text().replace('"99"', '"11"'))
    result = ingest("shop.toml", "--database", sqlite_url, "--from-rejects", "shop.rejects.jsonl")
    assert result.exit_code == 0
    assert stored(sqlite_url) == (2, 2)
    assert rejects.exists()
    (folder / "events.csv").write_text("u,i,t\na,10,2020-01-01\na,11,2020-01-02\n")
    assert ingest("shop.toml", "--database", sqlite_url).exit_code == 0
    assert stored(sqlite_url) == (2, 2)
