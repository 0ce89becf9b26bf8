"""`run` on a store, the report it makes, and models that already know the answers."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from graph.snapshot import Snapshot
from graph.storage.columns import EVENTS
from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.events import append_events
from graph.storage.times import DAY_US
from server.cli import app
from training.evaluation.protocols import AS_TRAINED, REFRESHED, leave_one_out, time_split
from training.evaluation.report import TEST_READS, as_json, comparison_table, make_report, table_of, write_report
from training.evaluation.run import Options, require_unseen, run

Make = Callable[..., Snapshot]
CHEAP = ("popularity", "own-frequency")


@pytest.fixture
def shop(sqlite_database: Database) -> Database:
    random = np.random.default_rng(8)
    user, item, day = random.integers(0, [20, 30, 60], (600, 3)).T
    rows = pa.table(
        {
            "event_id": [f"e{n}" for n in range(600)],
            "user": [f"u{n}" for n in user],
            "item": [f"i{n}" for n in item],
            "kind": ["purchase"] * 600,
            "occurred_at": (1_500_000_000_000_000 + day * DAY_US).astype(np.int64),
        }
    )
    full = [rows[f.name] if f.name in rows.column_names else pa.nulls(600, f.type) for f in EVENTS]
    append_events(
        sqlite_database, pa.table(full, schema=EVENTS), source="test", unknown_items="create", recorded_at=None
    )
    return sqlite_database


def test_both_columns_and_every_baseline_are_reported(shop: Database, tmp_path: Path) -> None:
    options = Options(model="none", baselines=CHEAP, holdout_days=10, validation_days=10)
    report = run(shop, tmp_path, options)
    assert [(r.column, r.model) for r in report.results] == [
        (column, name) for column in (AS_TRAINED, REFRESHED) for name in ("popularity", "own frequency")
    ]
    assert report.seen == "include"
    assert report.users == 20
    again = run(shop, tmp_path, options)
    assert [r.means for r in again.results] == [r.means for r in report.results]
    assert again.data_hash == report.data_hash


def test_a_file_per_run_with_all_that_a_number_needs(shop: Database, tmp_path: Path) -> None:
    options = Options(protocol="leave-one-out", order="shuffled", seen="exclude", model="none", baselines=CHEAP)
    report = run(shop, tmp_path, options)
    first, second = write_report(report, tmp_path / "out"), write_report(report, tmp_path / "out")
    assert first != second
    written = json.loads(first.read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(as_json(report)))
    assert written["settings"] == {"order": "shuffled", "shuffle_seed": 0}
    for wanted in ("data_hash", "code_revision", "seeds", "created_at", "known_at", "seen", "users"):
        assert written[wanted] not in (None, "")
    reads = [json.loads(line) for line in (tmp_path / "out" / TEST_READS).read_text().splitlines()]
    assert [read["report"] for read in reads] == [first.name, second.name]
    assert reads[0]["code_revision"] == written["code_revision"]
    assert "results" not in reads[0]
    with np.load(first.with_suffix(".npz")) as arrays:
        kept = arrays["refreshed/popularity/ndcg@10"]
    np.testing.assert_array_equal(kept, report.results[2].per_user["ndcg@10"])


def test_the_tables_show_models_columns_and_intervals(shop: Database, tmp_path: Path, make_snapshot: Make) -> None:
    split = time_split(
        make_snapshot([(0, 0, 1), (0, 1, 7), (0, 0, 12)], n_items=2), test_start=10 * DAY_US, validation_days=5
    )
    results = run(shop, tmp_path, Options(model="none", baselines=CHEAP, holdout_days=10, validation_days=10)).results
    report = make_report(split, results, seen="include", model="m1.1", rivals=["own frequency"])
    assert {(c.model, c.baseline, c.column) for c in report.comparisons} == {
        ("own frequency", "popularity", column) for column in (AS_TRAINED, REFRESHED)
    }
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table_of(report), comparison_table(report))
    text = console.export_text()
    for wanted in ("as trained", "refreshed", "N@10", "own frequency", f"{results[0].means['ndcg@10']:.4f}", "["):
        assert wanted in text


def test_options_that_make_no_question_are_refused(shop: Database, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="No baseline is called"):
        run(shop, tmp_path, Options(model="none", baselines=("magic",)))
    with pytest.raises(BadInputError, match="nothing to evaluate"):
        run(shop, tmp_path, Options(model="none", baselines=(), holdout_days=10, validation_days=10))
    with pytest.raises(NotFoundError, match="No model is active"):
        run(shop, tmp_path, Options())


def test_a_model_that_has_seen_the_test_is_refused(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (0, 1, 7), (0, 2, 12), (0, 0, 22)]
    whole = make_snapshot(rows, n_items=3, as_of_day=30)
    split = time_split(whole, test_start=10 * DAY_US, test_end=20 * DAY_US, validation_days=5)
    config = {"protocol": "time", "holdout_days": 10.0, "split": dict(split.settings)}
    require_unseen("m1.1", config, split)
    require_unseen("m1.1", config, time_split(whole, test_start=15 * DAY_US, validation_days=6))  # later: still unseen
    with pytest.raises(BadInputError, match="has learned from events until"):
        require_unseen("m1.1", config, time_split(whole, test_start=9 * DAY_US, validation_days=5))
    with pytest.raises(BadInputError, match="has learned from events until"):
        require_unseen("m1.1", config | {"holdout_days": 0.0}, split)  # its validation was this very test
    with pytest.raises(BadInputError, match="knows the test"):
        require_unseen("m1.1", config, leave_one_out(whole))
    shuffled = leave_one_out(whole, order="shuffled")
    trained = {"protocol": "leave-one-out", "split": dict(shuffled.settings)}
    require_unseen("m1.1", trained, shuffled)
    with pytest.raises(BadInputError, match="in shuffled order"):
        require_unseen("m1.1", trained, leave_one_out(whole))


def test_a_page_that_cannot_be_written_is_refused_before_the_work(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    asked = ["evaluate", "--model", "none", "--database", sqlite_url, "--report", str(tmp_path / "file")]
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 2
    assert "No report can be written" in result.output
