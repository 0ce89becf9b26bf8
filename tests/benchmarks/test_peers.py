"""A peer is asked and judged as our own rankers are, and is told nothing that it has to guess."""

import textwrap
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.quality.exchange import read_answers, write_question
from benchmarks.quality.peers import PEERS, OutOfTimeError, Peer, PeerError, ask, environment
from benchmarks.quality.plan import Job
from benchmarks.quality.worker import do
from graph.snapshot import take_snapshot
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.times import DAY_US
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import AS_TRAINED, REFRESHED, Split, leave_one_out, time_split
from training.evaluation.queries import Seen

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "quality" / "peers"
POPULARITY = textwrap.dedent("""
    import numpy as np
    from common import arguments, best_items, write_answers

    question, options = arguments()
    share = np.bincount(question["item"], minlength=int(question["n_items"])).astype(np.float32)
    share += 1e-3 * np.arange(len(share))  # no ties
    answers = best_items(question, lambda rows: np.tile(share, (len(rows), 1)))
    write_answers(question, options, answers, fit_seconds=0.5, settings={"seed": options.seed}, stopped=True)
""")


@pytest.fixture
def store(sqlite_database: Database) -> Database:
    chance = np.random.default_rng(0)
    n = 600
    upsert_items(sqlite_database, pa.table({"item": [f"i{k:02}" for k in range(40)]}))
    events = pa.table(
        {
            "user": [f"u{k}" for k in chance.integers(0, 30, n)],
            "item": [f"i{k:02}" for k in (40 * chance.random(n) ** 2).astype(int)],
            "kind": ["purchase"] * n,
            "occurred_at": pa.array(1_700_000_000_000_000 + np.sort(chance.integers(0, 40 * DAY_US, n))),
        }
    )
    append_events(sqlite_database, events, source="test")
    return sqlite_database


def common() -> ModuleType:
    """What the scripts share; they import it by this name from beside themselves."""
    spec = spec_from_file_location("common", SCRIPTS / "common.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def splits(store: Database) -> list[Split]:
    snapshot = take_snapshot(store, as_of=None)
    return [leave_one_out(snapshot), time_split(snapshot, test_start=snapshot.newest_end - 10 * DAY_US)]


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Peer:
    (tmp_path / "common.py").write_text((SCRIPTS / "common.py").read_text())
    (tmp_path / "run_popularity.py").write_text(POPULARITY)
    monkeypatch.setattr("benchmarks.quality.peers.HERE", tmp_path)
    return Peer("popularity, asked", "run_popularity.py", "popularity")


BOTH: tuple[Seen, ...] = ("include", "exclude")


def test_a_peer_is_fitted_once_and_judged_under_both_rules_as_ours_would_be(
    store: Database, peer: Peer, tmp_path: Path
) -> None:
    for number, split in enumerate(splits(store)):
        question, answers = tmp_path / f"{number}.npz", tmp_path / str(number)
        answers.mkdir()
        write_question(question, split, split.trained, split.test, BOTH)
        said = ask(peer, tmp_path, question, answers, seed=3, budget_s=60)
        assert said.settings == {"seed": 3}
        assert said.cost.stopped
        assert said.cost.fit_seconds == 0.5
        assert said.cost.peak_bytes is not None
        assert said.cost.peak_bytes > 1e6

        share = np.bincount(split.trained.events.item, minlength=len(split.trained.items)).astype(np.float32)
        ours = BASELINES["popularity"](split.trained)
        object.__setattr__(ours, "share", share + np.float32(1e-3) * np.arange(len(share), dtype=np.float32))
        for seen in BOTH:
            theirs = read_answers(peer.name, answers, seen, split.test.users, len(split.trained.items))
            one, other = evaluate(split.test, {AS_TRAINED: [theirs, ours]}, seen=seen)
            for metric in one.per_user:
                np.testing.assert_array_equal(one.per_user[metric], other.per_user[metric], err_msg=f"{seen} {metric}")


def test_an_answer_is_not_asked_for_twice(store: Database, peer: Peer, tmp_path: Path) -> None:
    split = splits(store)[0]
    question = tmp_path / "q.npz"
    write_question(question, split, split.trained, split.test, ("include",))
    first = ask(peer, tmp_path, question, tmp_path, seed=0, budget_s=60)
    question.unlink()
    assert ask(peer, tmp_path, question, tmp_path, seed=0, budget_s=60) == first


def test_answers_for_other_users_are_refused(store: Database, peer: Peer, tmp_path: Path) -> None:
    split = splits(store)[0]
    question, n_items = tmp_path / "q.npz", len(split.trained.items)
    write_question(question, split, split.trained, split.test.select(np.arange(5)), ("include",))
    ask(peer, tmp_path, question, tmp_path, seed=0, budget_s=60)
    read_answers(peer.name, tmp_path, "include", split.test.users[:5], n_items)
    with pytest.raises(BadInputError, match="answered for 5 users that are not the"):
        read_answers(peer.name, tmp_path, "include", split.test.users, n_items)
    with pytest.raises(BadInputError, match="are not the 5 it was asked for"):
        read_answers(peer.name, tmp_path, "include", split.test.users[1:6], n_items)
    with pytest.raises(BadInputError, match="holds no answers"):
        read_answers(peer.name, tmp_path, "exclude", split.test.users[:5], n_items)


def job_of(peer: Peer, sqlite_url: str, folder: Path, *seen: Seen) -> Job:
    return Job(
        database_url=sqlite_url,
        folder=folder,
        environments=folder,
        data_set="shop",
        protocol="leave-one-out",
        order="published",
        holdout_days=None,
        validation_days=None,
        model=peer.name,
        kind="peer",
        seed=0,
        seen=seen,
        budget_s=60,
        device="cpu",
    )


def test_a_peer_that_refits_has_both_columns_and_is_asked_again_for_another_rule(
    store: Database, peer: Peer, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PEERS, peer.name, replace(peer, refits=True))
    for seen in (("include",), BOTH):
        job = job_of(peer, sqlite_url, tmp_path, *seen)
        do(job)
        assert [(cell.status, list(cell.metrics)) for cell in job.cells()] == [("done", [AS_TRAINED, REFRESHED])] * len(
            seen
        )
    assert job.cells()[0].config == {"seed": 0}


def test_a_peer_out_of_time_is_a_cell(
    store: Database, peer: Peer, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / peer.script).write_text("import time; time.sleep(600)")
    monkeypatch.setattr("benchmarks.quality.peers.GRACE_S", -119.5)
    monkeypatch.setitem(PEERS, peer.name, peer)
    job = job_of(peer, sqlite_url, tmp_path, *BOTH)
    do(job)
    assert [cell.status for cell in job.cells()] == ["out of time", "out of time"]


def test_a_peer_that_fails_is_quoted(store: Database, peer: Peer, tmp_path: Path) -> None:
    (tmp_path / peer.script).write_text("print('much'); raise ValueError('no such item')")
    with pytest.raises(PeerError, match=r"popularity, asked: ValueError: no such item.*output\.log"):
        ask(peer, tmp_path, tmp_path / "q.npz", tmp_path, seed=0, budget_s=60)


def test_a_peer_that_does_not_come_back_is_out_of_time(
    peer: Peer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / peer.script).write_text("import time; time.sleep(600)")
    monkeypatch.setattr("benchmarks.quality.peers.GRACE_S", 0.0)
    with pytest.raises(OutOfTimeError, match="no answer after 1 s"):
        ask(peer, tmp_path, tmp_path / "q.npz", tmp_path, seed=0, budget_s=0.5)
    assert not (tmp_path / "about.json").exists()


def test_the_question_does_not_hold_the_answer(store: Database, tmp_path: Path) -> None:
    one_out, window = splits(store)
    for split in (one_out, window):
        write_question(tmp_path / "q.npz", split, split.trained, split.test, ("include",))
        with np.load(tmp_path / "q.npz") as arrays:
            question = dict(arrays)
        events = split.trained.events
        assert len(question["user"]) == len(events)
        assert question["occurred_at"].max() == events.occurred_at.max()
        assert len(question["history"]) == len(split.test.histories.item)
        assert (question["history_at"] <= np.repeat(question["asked_at"], np.diff(question["offsets"]))).all()
        newest = np.zeros(question["n_users"], np.int64)
        np.maximum.at(newest, question["user"], question["occurred_at"])
        assert (newest[question["valid_user"]] <= question["valid_at"]).all()
        assert len(question["valid_user"]) == (len(split.validation) if split is one_out else 0)


def test_sequences_are_as_long_as_nearly_all_histories_and_never_longer_than_ours() -> None:
    def length_of(*lengths: int) -> int:
        longest: int = common().length({"offsets": np.concatenate([[0], np.cumsum(lengths)])})
        return longest

    assert length_of(*range(1, 101)) == 50
    assert length_of(*[5] * 99, 400) == 5
    assert length_of(1) == 1


def test_the_last_event_of_each_user_is_where_the_next_user_begins() -> None:
    last = common().last_of_each(np.array([0, 0, 2, 5, 5, 5], np.int32))
    assert last.tolist() == [False, True, True, False, False, True]
    assert common().last_of_each(np.zeros(0, np.int32)).tolist() == []


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_implicit_is_installed_and_answers(store: Database, sqlite_url: str, tmp_path: Path) -> None:
    job = job_of(PEERS["implicit ALS"], sqlite_url, tmp_path, *BOTH)
    do(job)
    assert [cell.status for cell in job.cells()] == ["done", "done"]
    for cell in job.cells():
        assert cell.metrics[REFRESHED]["recall@10"]
        assert cell.config["factors"] == 128
        assert cell.cost.peak_bytes
    ready = tmp_path / "implicit" / "ready"
    written = ready.stat().st_mtime_ns
    environment(PEERS["implicit BPR"], tmp_path)
    assert ready.stat().st_mtime_ns == written  # both share what is installed
