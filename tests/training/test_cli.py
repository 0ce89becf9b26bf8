"""The commands in the order in which an admin types them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from graph.snapshot import Snapshot
from graph.storage.database import Database
from training.cli import refresh_command, train_command
from training.models_cli import models_app

app = typer.Typer()
app.command("train")(train_command)
app.command("refresh")(refresh_command)
app.add_typer(models_app, name="models")


def run(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result.output


def test_train_refresh_list_show_rollback_and_activate(
    sqlite_url: str,
    sqlite_database: Database,
    shop: Snapshot,
    fill_store: Callable[[Database, Snapshot], None],
    tmp_path: Path,
) -> None:
    fill_store(sqlite_database, shop)
    where = ["--database", sqlite_url, "--artifacts", str(tmp_path)]
    trained = run(
        "train",
        "--holdout-days",
        "20",
        "--validation-days",
        "20",
        "--dim",
        "8",
        "--epochs",
        "2",
        "--device",
        "cpu",
        *where,
    )
    assert "m1.1 published" in trained
    assert "m1.1 is active" in trained
    assert "The gate, m1.1" in trained
    assert "nothing is active" in trained  # beside which it could be held
    assert "m1.2 published" in run("refresh", *where)
    listed = run("models", "list", "--database", sqlite_url)
    assert [line.split()[:2] for line in listed.splitlines()[1:]][1] == ["m1.2", "yes"]
    assert "all as published" in run("models", "show", *where)
    assert "m1.1 is active again" in run("models", "rollback", "--database", sqlite_url)
    assert "No revision served before" in run("models", "rollback", "--database", sqlite_url, code=2)
    refused = run("models", "gate", "m1.2", "--gate", "ndcg_of_baseline=1000", *where, code=1)
    assert "m1.2 does not pass the gate: NDCG@10" in refused
    assert "skipped" in run("models", "gate", "m1.2", *where)
    assert "does not pass" in run("models", "activate", "m1.2", "--gate", "ndcg_of_baseline=9", *where, code=2)
    assert "m1.2 is active" in run("models", "activate", "m1.2", *where)
    shown = run("models", "show", *where)
    assert "ndcg_of_baseline" in shown
    assert shown.count("The gate") == 1
    assert "canary is m1.1, for 5.000% of the users" in run(
        "models", "label", "canary", "m1.1", "--share", "0.05", *where
    )
    assert "canary 5.000%" in run("models", "list", "--database", sqlite_url)
    assert "Which revision is canary?" in run("models", "label", "canary", *where, code=2)
    assert "canary is removed" in run("models", "label", "canary", "--remove", *where)
    (tmp_path / "m1.1" / "gate.json").write_text("{}")
    assert "gate.json" in run("models", "activate", "m1.1", *where, code=2)


@pytest.mark.parametrize("command", [["refresh"], ["models", "show"]])
def test_without_a_model_the_commands_say_what_to_do(command: list[str], sqlite_url: str, tmp_path: Path) -> None:
    assert "penchant train" in run(*command, "--database", sqlite_url, "--artifacts", str(tmp_path), code=2)


def test_a_setting_that_does_not_exist_is_named_before_anything_is_learned(
    sqlite_url: str, sqlite_database: Database, tmp_path: Path
) -> None:
    where = ["--database", sqlite_url, "--artifacts", str(tmp_path)]
    assert "A net has no setting 'width'" in run("train", "--set", "width=3", *where, code=2)
