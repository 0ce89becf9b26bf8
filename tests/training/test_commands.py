"""The commands as processes: `penchant train` killed midway and resumed, then `penchant evaluate` of its model."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from graph.snapshot import Snapshot
from graph.storage.database import Database
from training.artifact import load_artifact
from training.checkpoint import NAME
from training.train_run import CHECKPOINT

WINDOWS = ["--holdout-days", "20", "--validation-days", "20"]
EPOCHS = 12


def penchant(*arguments: str) -> "subprocess.Popen[str]":
    line = [sys.executable, "-m", "server", *arguments]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return output


@pytest.mark.timeout(300)
def test_killed_training_resumes_to_the_same_model_and_is_evaluated(
    sqlite_url: str,
    sqlite_database: Database,
    shop: Snapshot,
    fill_store: Callable[[Database, Snapshot], None],
    tmp_path: Path,
) -> None:
    fill_store(sqlite_database, shop)
    where = ["--database", sqlite_url, "--artifacts"]
    train = ["train", *WINDOWS, "--dim", "8", "--epochs", str(EPOCHS), "--device", "cpu"]

    killed = penchant(*train, *where, str(tmp_path / "killed"))
    checkpoint = tmp_path / "killed" / CHECKPOINT / NAME
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.001)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not list((tmp_path / "killed").glob("m*"))  # nothing is published half

    resumed = finished(penchant(*train, "--resume", *where, str(tmp_path / "killed")))
    whole = finished(penchant(*train, *where, str(tmp_path / "whole")))
    assert "m1.1 published" in resumed
    assert "m2.1 published" in whole
    first, second = load_artifact(tmp_path / "killed" / "m1.1"), load_artifact(tmp_path / "whole" / "m2.1")
    np.testing.assert_array_equal(first.item_vectors, second.item_vectors)
    np.testing.assert_array_equal(first.gate.weight, second.gate.weight)
    assert first.manifest.metrics == second.manifest.metrics

    folder = tmp_path / "evaluations"
    page = ["--report", str(tmp_path / "page")]
    shown = finished(penchant("evaluate", *WINDOWS, "--output", str(folder), *page, *where, str(tmp_path / "whole")))
    assert "Learning curves" in (tmp_path / "page" / "index.html").read_text(encoding="utf-8")
    (report,) = folder.glob("*.json")
    results = json.loads(report.read_text())["results"]
    assert {result["column"] for result in results} == {"as trained", "refreshed"}
    assert {"penchant", "popularity", "EASE"} <= {result["model"] for result in results}
    # The planted groups are found: far better than what is popular.
    metric = {(result["column"], result["model"]): result["metrics"]["ndcg@10"] for result in results}
    assert metric["refreshed", "penchant"] > 1.5 * metric["refreshed", "popularity"]
    assert "own frequency" in shown
    # Of each user's best items it also tells how likely they are, in both columns.
    told = json.loads(report.read_text())["probabilities"]
    assert [(each["column"], each["days"]) for each in told] == [
        (column, days) for column in ("as trained", "refreshed") for days in (None, 20.0)
    ]
    for each in told[1::2]:
        assert each["calibrated"]
        assert each["log_loss"] < each["base_rate_log_loss"]
        assert len(each["reliability"]["ratio"]) == 10
    assert "any event within 20 days" in shown
