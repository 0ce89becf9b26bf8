"""Folds are learned without their tests, put together, and never run twice."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from graph.snapshot import Snapshot, take_snapshot
from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError, TrainingError
from graph.storage.events import append_events
from graph.storage.times import DAY_US
from server.cli import app
from training.evaluation import cross_validate as module
from training.evaluation.cross_validate import PLAN, Options, cross_validate
from training.evaluation.protocols import AS_TRAINED, REFRESHED
from training.evaluation.queries import Queries
from training.evaluation.report import TEST_READS, as_json
from training.evaluation.spread import SUMMARY
from training.train import Learned, learn

WINDOWS: dict[str, Any] = {"holdout_days": 20, "validation_days": 20, "baselines": ("popularity",)}
NET = {"dim": 8, "epochs": 1, "max_history": 10}
FOLDS = Options(folds=2, net=NET, **WINDOWS)
ORIGINS = Options(origins=2, net=NET, **WINDOWS)


@pytest.fixture
def store(sqlite_database: Database, shop: Snapshot, fill_store: Callable[[Database, Snapshot], None]) -> Database:
    fill_store(sqlite_database, shop)
    return sqlite_database


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Snapshot, Queries]]:
    """What `learn` was given, call after call."""
    calls: list[tuple[Snapshot, Queries]] = []

    def recorded(trained: Snapshot, validation: Queries, *args: Any, **kwargs: Any) -> Learned:
        calls.append((trained, validation))
        return learn(trained, validation, *args, **kwargs)

    monkeypatch.setattr(module, "learn", recorded)
    return calls


def test_folds_over_users(store: Database, tmp_path: Path, taught: list[tuple[Snapshot, Queries]]) -> None:
    reports = cross_validate(store, tmp_path, FOLDS, device="cpu")
    asked = [set(report.asked.tolist()) for report in reports]
    assert not asked[0] & asked[1]
    assert len(asked[0] | asked[1]) == reports[0].users + reports[1].users > 100
    for mine, (trained, validation) in zip(asked, taught, strict=True):
        assert not mine & set(trained.log.events.user.tolist())
        assert not mine & set(validation.users.tolist())
    for report in reports:
        assert [(r.column, r.model) for r in report.results] == [
            (column, model) for column in (AS_TRAINED, REFRESHED) for model in ("penchant", "popularity")
        ]
        assert report.seen == "include"  # users of the shop come back
        # The planted groups are found in users whom the model has never met.
        ours, popular = (
            next(r.means["ndcg@10"] for r in report.results if r.model == m) for m in ("penchant", "popularity")
        )
        assert ours > 1.5 * popular


def test_origins_over_time(store: Database, tmp_path: Path, taught: list[tuple[Snapshot, Queries]]) -> None:
    first, second = cross_validate(store, tmp_path, ORIGINS, device="cpu")
    assert first.settings["test_end"] == second.settings["test_start"]
    for report, (trained, validation) in zip((first, second), taught, strict=True):
        assert report.settings["train_end"] < report.settings["test_start"]
        assert (trained.log.events.occurred_at < trained.as_of).all()
        assert (validation.now_us == trained.as_of).all()


def test_a_finished_fold_is_not_run_again(
    store: Database, tmp_path: Path, taught: list[tuple[Snapshot, Queries]], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = vars(module)["learn"]

    def fails_second(*args: Any, **kwargs: Any) -> Learned:
        if len(taught) == 1:
            (kwargs["checkpoint_dir"]).mkdir()
            raise TrainingError("the machine goes down")
        found: Learned = recorded(*args, **kwargs)
        return found

    monkeypatch.setattr(module, "learn", fails_second)
    with pytest.raises(TrainingError, match="goes down"):
        cross_validate(store, tmp_path, FOLDS, device="cpu")
    assert (tmp_path / "fold-1.json").exists()
    assert not (tmp_path / "fold-2.json").exists()

    monkeypatch.setattr(module, "learn", recorded)
    reports = cross_validate(store, tmp_path, FOLDS, device="cpu")
    assert len(taught) == 2
    assert not set(reports[1].asked.tolist()) & set(taught[1][0].events.user.tolist())
    assert not list(tmp_path.glob(".fold-*"))
    assert len((tmp_path / TEST_READS).read_text().splitlines()) == 2

    again = cross_validate(store, tmp_path, FOLDS, device="cpu")
    assert len(taught) == 2
    assert [as_json(report) for report in again] == [as_json(report) for report in reports]


def test_events_that_come_meanwhile_change_nothing(store: Database, tmp_path: Path, shop: Snapshot) -> None:
    one = Options(origins=1, net=NET, **WINDOWS)
    (before,) = cross_validate(store, tmp_path, one, device="cpu")
    late = {"user": ["u0"] * 50, "item": ["i0"] * 50, "kind": ["purchase"] * 50}
    append_events(store, pa.table(late | {"occurred_at": np.arange(50) + 60 * DAY_US}), source="late")
    assert len(take_snapshot(store, as_of=None).events) > len(shop.events)
    (tmp_path / "fold-1.json").rename(tmp_path / "kept.json")
    (tmp_path / ".fold-1").mkdir()
    (after,) = cross_validate(store, tmp_path, one, device="cpu")
    assert after.data_hash == before.data_hash
    for mine, other in zip(after.results, before.results, strict=True):
        np.testing.assert_array_equal(mine.per_user["ndcg@10"], other.per_user["ndcg@10"])


def test_a_folder_answers_one_question(store: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = Options(origins=1, net=NET, **WINDOWS)
    cross_validate(store, tmp_path, one, device="cpu")
    with pytest.raises(ConflictError, match="another question: net, origins differs"):
        cross_validate(store, tmp_path, Options(origins=2, **WINDOWS), device="cpu")
    monkeypatch.setattr(module, "git_revision", lambda: "another")
    with pytest.raises(ConflictError, match="the code has changed"):
        cross_validate(store, tmp_path, one, device="cpu")
    for broken in (b"", b"{"):
        (tmp_path / PLAN).write_bytes(broken)
        with pytest.raises(ConflictError, match="no plan"):
            cross_validate(store, tmp_path, one, device="cpu")


def test_a_plan_of_which_nothing_has_come_is_replaced(store: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="dim"):
        cross_validate(store, tmp_path, Options(origins=1, net={"dim": -1}, **WINDOWS), device="cpu")
    assert len(cross_validate(store, tmp_path, Options(origins=1, net=NET, **WINDOWS), device="cpu")) == 1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (Options(), "folds over users or for origins"),
        (Options(folds=2, origins=2), "folds over users or for origins"),
        (Options(origins=2, protocol="leave-one-out"), "cuts through time"),
        (Options(folds=0), "one at least"),
        (Options(folds=2, baselines=("magic",)), "No baseline is called 'magic'"),
        (Options(folds=2), "no events"),
    ],
)
def test_options_that_make_no_question_are_refused(
    sqlite_database: Database, tmp_path: Path, options: Options, match: str
) -> None:
    with pytest.raises(BadInputError, match=match):
        cross_validate(sqlite_database, tmp_path, options)


def command(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["cross-validate", *arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_the_command(store: Database, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.evaluation.page.style.DPI", 70)
    where = ["--database", sqlite_url, "--output", str(tmp_path / "out")]
    days = ["--holdout-days", "20", "--validation-days", "20", "--baseline", "popularity", "--device", "cpu"]
    shown = command("--origins", "2", *days, "--set", "dim=8", "--set", "epochs=1", *where)
    assert "penchant" in shown
    assert "±" in shown
    summary = json.loads((tmp_path / "out" / SUMMARY).read_text())
    assert len(summary["folds"]) == 2
    assert summary["results"][0]["metrics"]["ndcg@10"]["mean"] > 0
    assert (tmp_path / "out" / "index.html").stat().st_size > 10_000
    assert json.loads((tmp_path / "out" / PLAN).read_text())["question"]["net"] == {"dim": "8", "epochs": "1"}


def test_what_the_command_cannot_use(sqlite_url: str, sqlite_database: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "No report can be written" in command("--folds", "2", "--output", str(tmp_path / "file"), code=2)
    assert "sets nothing" in command("--folds", "2", "--set", "dim", code=2)
    assert "--as-of" in command("--folds", "2", "--as-of", "yesterday", code=2)
    out = ["--output", str(tmp_path / "out"), "--database", sqlite_url]
    assert "folds over users or for origins" in " ".join(command(*out, code=2).split())
