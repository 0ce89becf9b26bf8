"""The benchmark from a mapping file to a table: what is done is not done again, what fails stops nothing else."""

import io
import json
import shutil
import tomllib
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from benchmarks.quality import measure as measuring
from benchmarks.quality import plan, worker
from benchmarks.quality.cells import read_cell
from benchmarks.quality.data_sets import data_set_of
from benchmarks.quality.measure import Request, measure
from benchmarks.quality.nets import read_net, write_net
from benchmarks.quality.peers import PeerError
from benchmarks.quality.plan import ROOT, Job, last_line, run
from benchmarks.quality.table import Comparison
from graph.features.encoder import FeatureEncoder
from graph.features.number import Number
from graph.snapshot import take_snapshot
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from training.config import NetConfig
from training.curves import Epoch
from training.evaluation.report import TEST_READS
from training.fit import FitResult
from training.model import InterestNet

TINY = "dim=8,epochs=2"


def request(data_set: str | Path, folder: Path, **changes: Any) -> Request:
    asked: dict[str, Any] = {
        "protocol": None,
        "order": "published",
        "seen": (),
        "seeds": (0,),
        "models": ["none"],
        "variants": [],
        "peers": [],
        "budget_s": 600.0,
        "holdout_days": None,
        "validation_days": None,
        "folder": folder,
        "device": "cpu",
    }
    return Request.of(str(data_set), **{**asked, **changes})


@pytest.fixture(scope="session")
def loaded(corner_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the shop's store is there."""
    folder = tmp_path_factory.mktemp("loaded")
    measuring.load(data_set_of(str(corner_shop)), folder, None, Console(file=io.StringIO()))
    return folder


@pytest.fixture
def folder(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(loaded, tmp_path / "quality"))


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Jobs run in this process, and are noted: a process of its own for each takes seconds to load."""
    done: list[Job] = []

    def here(job: Job, tell: Callable[[str], None]) -> None:
        done.append(job)
        worker.do(job)

    monkeypatch.setattr(measuring, "run", here)
    return done


def tables(asked: Request, **how: bool) -> list[Comparison]:
    console = Console(file=io.StringIO())
    return [
        table for table, _ in measure(asked, None, console, retry=how.get("retry", False), anew=how.get("anew", False))
    ]


def test_a_shop_never_seen_before_is_measured_under_both_rules(
    corner_shop: Path, folder: Path, inside: list[Job]
) -> None:
    asked = request(corner_shop, folder, models=["popularity", "own-frequency"], variants=[TINY])
    include, exclude = tables(asked)
    assert [(table.seen, table.protocol) for table in (include, exclude)] == [("include", "time"), ("exclude", "time")]
    assert [row.model for row in include.rows] == [TINY, "popularity", "own-frequency"]
    for row in (*include.rows, *exclude.rows):
        assert row.failed == {}
        for column in ("as trained", "refreshed"):
            assert 0 <= row.figures[column]["ndcg@10"].mean <= 1
        assert row.peak_bytes is not None
        assert row.peak_bytes > 1e7
    assert include.rows[0].rows_per_second is not None
    # Six days of sixty: nobody said how many.
    assert include.settings["test_start"].startswith("2020-11-06")
    reads = [json.loads(line) for line in (asked.results / TEST_READS).read_text().splitlines()]
    assert {(read["model"], read["seen"]) for read in reads} == {
        (model, seen) for model in asked.models for seen in ("include", "exclude")
    }
    assert all(read["code_revision"] and "metrics" not in read for read in reads)
    assert reads[0]["config"]["net"]["dim"] == 8


def test_what_is_done_is_not_done_again(corner_shop: Path, folder: Path, inside: list[Job]) -> None:
    asked = request(corner_shop, folder, models=["popularity"], seeds=(0, 1), protocol="leave-one-out")
    first = tables(asked)
    assert [(job.model, job.seed) for job in inside] == [("popularity", 0)]  # a baseline has no seeds
    assert tables(asked) == first
    more = request(corner_shop, folder, models=["popularity", "item-knn"], protocol="leave-one-out")
    tables(more)
    assert [job.model for job in inside] == ["popularity", "item-knn"]
    # Interrupted between its two cells, a job is done again.
    more.jobs()[1].path("exclude").unlink()
    tables(more)
    assert [job.model for job in inside] == ["popularity", "item-knn", "item-knn"]
    tables(request(corner_shop, folder, models=["popularity"], protocol="leave-one-out", order="shuffled"))
    assert len(inside) == 4


def test_variants_of_the_mixture_keep_the_net_of_their_seed(
    corner_shop: Path, folder: Path, inside: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    tables(request(corner_shop, folder, variants=[TINY]))
    monkeypatch.setattr("training.train.fit", lambda *_, **__: pytest.fail("a net was trained"))
    variants = [f"{TINY}+{name}" for name in ("no-memory:follows", "net-alone", "no-net", "no-ranker")]
    (table, _) = tables(request(corner_shop, folder, variants=variants))
    cells = [read_cell(job.path("include")) for job in request(corner_shop, folder, variants=variants).jobs()]
    sources = [cell.config["sources"] for cell in cells if cell]
    assert "follows" not in sources[0]
    assert sources[1] == ["net", "popularity"]
    assert all(row.rows_per_second for row in table.rows)
    with pytest.raises(pytest.fail.Exception, match="a net was trained"):
        tables(request(corner_shop, folder, variants=[f"{TINY}+gru"]))
    with pytest.raises(pytest.fail.Exception, match="a net was trained"):
        tables(request(corner_shop, folder, variants=[TINY], seeds=(1,)))


def test_our_own_models_are_measured_anew_when_the_code_has_changed_and_that_is_asked_for(
    corner_shop: Path, folder: Path, inside: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(corner_shop, folder, models=["popularity"], variants=[TINY])
    monkeypatch.setattr(plan, "code_revision", lambda: "one")
    monkeypatch.setattr("benchmarks.quality.nets.code_revision", lambda: "one")
    tables(asked)
    tables(asked, anew=True)
    assert len(inside) == 2
    monkeypatch.setattr(plan, "code_revision", lambda: "two")
    tables(asked)
    assert len(inside) == 2
    trained: list[int] = []
    monkeypatch.setattr("benchmarks.quality.nets.save_file", lambda *_: trained.append(1))
    tables(asked, anew=True)
    assert [job.model for job in inside[2:]] == [TINY]
    assert trained == [1]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_model_that_fails_is_a_row_and_the_next_one_runs(corner_shop: Path, folder: Path) -> None:
    """In processes of their own, as the command runs them."""
    asked = request(corner_shop, folder, models=["popularity"], variants=["dim=7"], seen=("include",))
    (table,) = tables(asked)
    bad, good = table.rows
    assert bad.failed == {
        0: "failed: The net cannot be made so: dim 7 must be a multiple of heads 2. "
        "`penchant train --help` tells what there is."
    }
    assert good.figures["as trained"]["ndcg@10"].mean > 0
    assert not asked.jobs()[0].missing()
    assert asked.jobs()[0].missing(retry=True)


def test_a_process_that_is_killed_is_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corner_shop: Path
) -> None:
    monkeypatch.setattr(plan, "ROOT", tmp_path)
    package = tmp_path / "benchmarks" / "quality"
    package.mkdir(parents=True)
    for place in (package, package.parent):
        (place / "__init__.py").write_text("")
    (package / "worker.py").write_text(
        "import os, signal; print('so far so good', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    job = request(corner_shop, tmp_path / "results", models=["popularity"]).jobs()[0]
    told: list[str] = []
    run(job, told.append)
    cells = job.cells()
    assert [(cell.status, cell.said) for cell in cells] == 2 * [("failed", "ended by SIGKILL")]


def test_what_was_measured_stays_when_the_rest_of_a_job_fails(
    folder: Path, corner_shop: Path, inside: list[Job]
) -> None:
    tables(request(corner_shop, folder, models=["popularity"], seen=("include",)))
    assert len(inside) == 1
    both = request(corner_shop, folder, models=["popularity"], seen=("include", "exclude")).jobs()[0]
    both.fail("failed", "no memory")
    assert {cell.seen: cell.status for cell in both.cells()} == {"include": "done", "exclude": "failed"}


def test_a_store_of_another_mapping_or_folder_answers_nothing(folder: Path, corner_shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "corner-shop.toml"
    other.write_text(corner_shop.read_text().replace("purchase", "view"))
    for data_set, data in ((other, None), (corner_shop, tmp_path)):
        with pytest.raises(BadInputError, match="was loaded by another mapping file, or from another folder"):
            measuring.load(data_set_of(str(data_set)), folder, data, Console(file=io.StringIO()))
    measuring.load(data_set_of(str(corner_shop)), folder, corner_shop.parent, Console(file=io.StringIO()))


def test_a_peer_that_cannot_be_installed_is_a_row(
    folder: Path, corner_shop: Path, inside: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> Path:
        raise PeerError("implicit ALS cannot be installed.")

    monkeypatch.setattr(measuring, "environment", refuses)
    asked = request(corner_shop, folder, models=["popularity"], peers=["implicit ALS"], seen=("include",))
    (table,) = tables(asked)
    assert [job.model for job in inside] == ["popularity"]
    assert {row.model: row.failed for row in table.rows}["implicit ALS"] == {
        0: "failed: implicit ALS cannot be installed."
    }


def test_a_net_that_is_kept_has_the_features_that_training_kept(tmp_path: Path) -> None:
    """Of those that were asked for, named with their kind, screening leaves some."""
    config = NetConfig(dim=4, features=("price",))
    shop = [{"price": float(number)} for number in range(6)]
    encoder = FeatureEncoder(("price",), (Number.fit("price", [one["price"] for one in shop], "standard"),))
    net = InterestNet(config, torch.arange(6), torch.arange(0), 1, encoder)
    write_net(tmp_path, FitResult(net, [Epoch(1.0, 0.1, 2.0)], 1, 2.0), rows_per_second=1.0, peak_bytes=1)
    kept = read_net(tmp_path)
    assert kept is not None
    assert kept.fit.net.config == config
    again = kept.fit.net.encoder
    assert again is not None
    assert again.names == ("price",)
    assert again.features[0].state() == encoder.features[0].state()


def test_the_newest_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\nhalf\r 50 %\r 99 %\n\n")
    assert last_line(tmp_path / "log") == "99 %"
    assert last_line(tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"models": ["magic"]}, "No model is called 'magic'"),
        ({"models": ["none"]}, "nothing to measure"),
        ({"variants": ["magic"]}, "No variant is called 'magic'"),
        ({"peers": ["magic"]}, "No peer is called 'magic'"),
        ({"models": None, "budget_s": 0.0}, "longer than nothing"),
        ({"models": None, "holdout_days": -1.0}, "longer than nothing"),
        ({"models": None, "holdout_days": 0.0}, "longer than nothing"),
        ({"models": None, "validation_days": float("nan")}, "longer than nothing"),
        ({"models": None, "order": "shuffled"}, "Only leave-one-out has an order"),
    ],
)
def test_what_makes_no_question_is_refused(
    corner_shop: Path, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInputError, match=said):
        request(corner_shop, tmp_path, **changes)


def test_files_that_cannot_be_loaded_are_no_data_set(corner_shop: Path, tmp_path: Path) -> None:
    mapping = tmp_path / "corner-shop.toml"
    shutil.copyfile(corner_shop, mapping)  # its files lie elsewhere
    with pytest.raises(BadInputError, match="corner-shop cannot be loaded"):
        tables(request(mapping, tmp_path / "out", models=["popularity"]))


def test_the_command_of_a_table_makes_it_again_and_names_no_folder(tmp_path: Path) -> None:
    asked = request(
        "amazon-beauty",
        tmp_path,
        order="shuffled",
        models=None,
        variants=["no-graph"],
        peers=["implicit ALS"],
        seeds=(0, 2),
    )
    assert asked.command.startswith(
        "penchant benchmark amazon-beauty --protocol leave-one-out --order shuffled --seen exclude --seeds 0,2 "
        "--budget-s 600 --model baselines --model penchant --variant no-graph --peer"
    )
    assert asked.command.endswith("--peer 'implicit ALS'")
    assert str(tmp_path) not in asked.command
    assert asked.results == tmp_path / "amazon-beauty" / "leave-one-out-shuffled"


def test_windows_have_folders_of_their_own(corner_shop: Path, tmp_path: Path) -> None:
    windows = [{}, {"holdout_days": 7.0}, {"validation_days": 7.0}, {"holdout_days": 7.0, "validation_days": 7.0}]
    found = {request(corner_shop, tmp_path, models=None, **window).results for window in windows}
    assert len(found) == 4


def test_short_data_hold_out_a_tenth(folder: Path) -> None:
    store = Database(f"sqlite:///{folder / 'corner-shop' / 'penchant.db'}")
    snapshot = take_snapshot(store, as_of=None)
    store.close()
    assert worker.default_days(snapshot) == pytest.approx(6.0, abs=0.1)


def test_an_installation_brings_the_benchmarks_along() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = settings["tool"]["setuptools"]["packages"]["find"]["include"]
    for package in ("benchmarks", "benchmarks.quality", "benchmarks.quality.peers"):
        assert any(fnmatch(package, pattern) for pattern in patterns)
        assert (ROOT / package.replace(".", "/") / "__init__.py").is_file()
