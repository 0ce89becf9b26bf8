"""Cells to a table: means and spreads over seeds, differences with intervals, and rows that say why they are empty."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.quality.cells import Cost, Kind, read_cell, read_users, slug, write_cell
from benchmarks.quality.peers import PEERS
from benchmarks.quality.plan import Job
from benchmarks.quality.table import COLUMNS, Comparison, compare
from benchmarks.quality.variants import all_variants
from benchmarks.quality.view import HEADINGS, console_table, markdown, write_tables
from graph.storage.errors import BadInputError

USERS = 400


def job(folder: Path, model: str, seed: int, kind: Kind = "variant", **changes: Any) -> Job:
    return Job(
        **{
            "database_url": "sqlite:///none.db",
            "folder": folder,
            "environments": folder,
            "data_set": "shop",
            "protocol": "leave-one-out",
            "order": "published",
            "holdout_days": None,
            "validation_days": None,
            "model": model,
            "kind": kind,
            "seed": seed,
            "seen": ("exclude",),
            "budget_s": 60,
            "device": "cpu",
            **changes,
        }
    )


def finish(job: Job, level: float, columns: tuple[str, ...] = COLUMNS, **cell: Any) -> None:
    """A cell whose users have about this NDCG."""
    random = np.random.default_rng([job.seed, *job.model.encode()])
    per_user = {
        f"{column}/{metric}": np.clip(level + random.normal(0, 0.05, USERS), 0, 1)
        for column in columns
        for metric in ("ndcg@10", "recall@10")
    }
    means = {
        column: {metric: float(per_user[f"{column}/{metric}"].mean()) for metric in ("ndcg@10", "recall@10")}
        | {"new_hits@10": None}
        for column in columns
    }
    known = {"users": USERS, "data_hash": "2:a", "settings": {"order": "published"}, "metrics": means, **cell}
    known.setdefault("cost", Cost(fit_seconds=10.0 + job.seed, peak_bytes=(1 + job.seed) * 2**30, rows_per_second=5e3))
    write_cell(job.path("exclude"), job.cell("exclude", status="done", **known), per_user)


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """The model with two seeds, one half as good, one that answers as trained only, and two that failed."""
    made = [
        *(job(tmp_path, "penchant", seed, "penchant") for seed in (0, 1)),
        *(job(tmp_path, "no-graph", seed) for seed in (0, 1)),
        job(tmp_path, "popularity", 0, "baseline"),
        *(job(tmp_path, name, seed, "peer") for name in ("RecBole SASRec", "RecBole FDSA") for seed in (0, 1)),
    ]
    for one in made:
        if one.model == "RecBole FDSA":
            one.fail("out of time", "no answer after 720 s")
        elif one.model == "RecBole SASRec" and one.seed == 1:
            one.fail("failed", "ended by SIGKILL")
        else:
            level = {"penchant": 0.6 + 0.02 * one.seed, "no-graph": 0.3}.get(one.model, 0.2)
            cost = {"cost": Cost(fit_seconds=60.0, stopped=True)} if one.kind == "peer" else {}
            finish(one, level, COLUMNS[:1] if one.kind == "peer" else COLUMNS, **cost)
    return made


def test_means_spreads_and_differences(jobs: list[Job]) -> None:
    table = compare(jobs, "exclude", "penchant benchmark shop")
    rows = {row.model: row for row in table.rows}
    assert list(rows) == ["penchant", "no-graph", "popularity", "RecBole SASRec", "RecBole FDSA"]
    assert (table.users, table.seeds) == (USERS, (0, 1))
    ours = rows["penchant"].figures["refreshed"]["ndcg@10"]
    of_seeds = [read_users(one.path("exclude"))["refreshed/ndcg@10"].mean() for one in jobs[:2]]
    assert ours.mean == pytest.approx(np.mean(of_seeds))
    assert ours.spread == pytest.approx(abs(of_seeds[0] - of_seeds[1]) / np.sqrt(2))
    assert rows["popularity"].figures["refreshed"]["ndcg@10"].spread is None
    ahead = rows["no-graph"].ahead["as trained"]["ndcg@10"]
    assert 0.28 < ahead.low < ahead.mean < ahead.high < 0.34
    assert rows["penchant"].ahead == {}
    assert rows["penchant"].fit_seconds == 10.5
    assert rows["penchant"].peak_bytes == 2 * 2**30
    assert rows["RecBole SASRec"].failed == {1: "failed: ended by SIGKILL"}
    assert set(rows["RecBole SASRec"].figures) == {"as trained"}
    assert rows["RecBole FDSA"].figures == {}


def test_the_markdown_is_a_table_with_all_that_a_figure_needs(jobs: list[Job]) -> None:
    table = compare(jobs, "exclude", "penchant benchmark shop --seeds 0,1")
    text = markdown(table)
    lines = text.splitlines()
    revision = read_cell(jobs[0].path("exclude"))
    assert revision is not None
    for wanted in (
        "Shop, leave-one-out, published order, seen items excluded, 400 users",
        "`penchant benchmark shop --seeds 0,1`",
        revision.code_revision,
        table.measured[:10],
        "seeds 0, 1",
    ):
        assert wanted in lines[0]
    body = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in body} == {len(HEADINGS) + 1}
    assert len(body) == 2 + len(table.rows)
    assert "**penchant**" in text
    assert "| 60* |" in text
    assert "* learning was ended by the budget" in text
    assert "out of time: no answer after 720 s" in text
    assert "RecBole SASRec (seed 1 failed)" in text
    assert "±" in body[2]


def test_the_terminal_shows_the_same_rows(jobs: list[Job]) -> None:
    table = compare(jobs, "exclude", "penchant benchmark shop")
    console = Console(width=240, record=True, file=io.StringIO())
    console.print(console_table(table))
    text = console.export_text()
    for row in table.rows:
        assert row.model in text
    assert "**" not in text


def test_json_has_every_metric_and_no_nan(jobs: list[Job], tmp_path: Path) -> None:
    path = write_tables(compare(jobs, "exclude", "penchant benchmark shop"), tmp_path)
    content = json.loads(path.with_suffix(".json").read_text(), parse_constant=lambda name: pytest.fail(name))
    row = content["rows"][0]
    assert row["figures"]["as trained"]["new_hits@10"] == {"mean": None, "spread": None}
    assert content["rows"][1]["ahead"]["refreshed"]["recall@10"]["users"] == USERS
    assert path.name == "exclude.md"


def test_cells_of_other_events_are_not_compared(jobs: list[Job]) -> None:
    finish(jobs[2], 0.3, data_hash="2:b")
    with pytest.raises(BadInputError, match="different events or windows"):
        compare(jobs, "exclude", "penchant benchmark shop")


def test_nothing_but_failures_is_a_table_too(jobs: list[Job]) -> None:
    table: Comparison = compare(jobs[-2:], "exclude", "penchant benchmark shop")
    assert "out of time" in markdown(table)
    Console(file=io.StringIO()).print(console_table(table))
    with pytest.raises(BadInputError, match="no results"):
        compare([jobs[0].model_copy(update={"model": "gru"})], "exclude", "penchant benchmark shop")


def test_a_file_that_is_no_cell_is_named(jobs: list[Job]) -> None:
    jobs[0].path("exclude").write_text("{}")
    with pytest.raises(BadInputError, match=r"0-exclude\.json is no cell"):
        compare(jobs, "exclude", "penchant benchmark shop")


def test_every_model_has_a_folder_of_its_own() -> None:
    names = [*PEERS, *all_variants(), "penchant", "popularity", "own-frequency", "dim=64,ema=0.9", "gru+no-ranker"]
    assert len({slug(name) for name in names}) == len(names)


def test_another_budget_is_another_cell_and_a_baseline_has_none(tmp_path: Path) -> None:
    short, long = (job(tmp_path, "gru", 0, budget_s=budget) for budget in (60, 1_800))
    assert short.path("exclude") != long.path("exclude")
    short, long = (job(tmp_path, "ease", 0, "baseline", budget_s=budget) for budget in (60, 1_800))
    assert (short.path("exclude"), short.asked) == (long.path("exclude"), long.asked)
