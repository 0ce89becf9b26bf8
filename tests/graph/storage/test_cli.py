from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from graph.storage.cli import db_app
from graph.storage.database import Database
from graph.storage.kinds import load_kinds
from migrations.commands import known_revisions

runner = CliRunner()


def run(*words: str) -> tuple[int, str]:
    result = runner.invoke(db_app, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_new_store_is_made_checked_and_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    code, output = run("current")
    assert (code, "penchant db upgrade" in output) == (2, True)
    assert run("upgrade")[0] == 0
    code, output = run("upgrade")  # once more: nothing to do
    assert (code, known_revisions()[-1] in output) == (0, True)
    assert run("current")[0] == 0
    code, output = run("check", "--artifacts", str(tmp_path))
    assert (code, "is sound" in output) == (0, True)
    assert run("downgrade", "base")[0] == 1  # nobody said yes
    assert run("current")[0] == 0
    assert run("downgrade", "base", "--yes")[0] == 0
    assert run("current")[0] == 2


def test_the_option_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_DATABASE_URL", f"sqlite:///{tmp_path}/environment.db")
    assert run("upgrade", "--database", f"sqlite:///{tmp_path}/option.db")[0] == 0
    assert [path.name for path in tmp_path.glob("*.db")] == ["option.db"]


def test_check_fails_on_what_it_finds(database_url: str, database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        connection.execute(text("DROP INDEX ix_interaction_occurred_at"))
    code, output = run("check", "--database", database_url, "--artifacts", str(tmp_path))
    assert (code, "ix_interaction_occurred_at" in output) == (1, True)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "mysql://host/name", "sqlite://", "sqlite:////nowhere/at/all.db", "postgresql://localhost:1/none"],
)
def test_an_unusable_address_is_one_sentence(url: str) -> None:
    code, output = run("upgrade", "--database", url)
    assert code == 2
    assert len(output.strip().splitlines()) == 1
    assert "Traceback" not in output


def test_a_password_is_never_shown() -> None:
    _, output = run("upgrade", "--database", "postgresql://shop:hunter2@localhost:1/none")
    assert "hunter2" not in output


def test_an_unknown_revision_is_one_sentence(sqlite_url: str) -> None:
    for command in (["upgrade", "9999"], ["downgrade", "9999"]):
        code, output = run(*command, "--database", sqlite_url)
        assert (code, "9999" in output) == (2, True)


def test_statements_can_be_printed(database_url: str) -> None:
    code, output = run("upgrade", "--sql", "--database", database_url)
    assert (code, "CREATE TABLE interaction" in output) == (0, True)
    code, output = run("downgrade", "base", "--sql", "--database", database_url)
    assert (code, "DROP TABLE interaction" in output) == (0, True)


def test_unusable_settings_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENCHANT_THREADS", "-1")
    code, output = run("current")
    assert (code, "PENCHANT_THREADS" in output) == (2, True)


def test_kinds_are_shown_and_set(sqlite_database: Database) -> None:
    store = ("--database", str(sqlite_database.engine.url))
    code, output = run("kinds", *store)
    assert (code, "purchase" in output, "dislike" in output) == (0, True, True)
    assert run("kinds", "rating", "--middle", "2.5", "--half-life-days", "90", *store)[0] == 0
    assert run("kinds", "sent_back", "--sign", "-1", "--weight", "0.5", *store)[0] == 0
    kinds = {kind.name: kind for kind in load_kinds(sqlite_database)}
    assert (kinds["rating"].middle, kinds["rating"].half_life_days, kinds["rating"].weight) == (2.5, 90, 1)
    assert (kinds["sent_back"].sign, kinds["sent_back"].weight, kinds["sent_back"].middle) == (-1, 0.5, None)
    code, output = run("kinds", "rating", "--middle", "none", *store)
    assert (code, "sent_back" in output) == (0, False)
    assert {kind.name: kind.middle for kind in load_kinds(sqlite_database)}["rating"] is None


@pytest.mark.parametrize(
    "words",
    [
        ("--weight", "1"),
        ("nothing_like_it",),
        ("rating", "--middle", "three"),
        ("rating", "--middle", "nan"),
        ("rating", "--weight", "-1"),
        ("rating", "--half-life-days", "0"),
        ("rating", "--sign", "2"),
    ],
)
def test_what_no_kind_can_be_is_refused(sqlite_database: Database, words: tuple[str, ...]) -> None:
    before = load_kinds(sqlite_database)
    code, _ = run("kinds", *words, "--database", str(sqlite_database.engine.url))
    assert code == 2
    assert load_kinds(sqlite_database) == before
