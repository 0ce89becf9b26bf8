"""The ranker: what it reads is what its names say, it changes an order and no sum, and is used only where it helps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from graph.histories import histories_from_arrays
from graph.memories.pace import pace_of
from graph.storage.errors import ArtifactError
from graph.storage.times import DAY_US
from tests.training.rankers import random_ranker
from training.artifact import load_artifact
from training.artifact_publish import publish_model, publish_revision
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import Split
from training.evaluation.queries import Queries
from training.mixture import Mixture
from training.mixture_build import mixture_of, revision_of
from training.ranker import Ranker, read_ranker, write_ranker
from training.ranker_features import HAD, NEW, Candidates, choose, facts_of, feature_names, features
from training.ranker_fit import Data, fit_ranker, is_better
from training.train import Learned

VECTORS = np.array([[1, 0], [0, 1], [0.6, 0.8], [-1, 0], [0.8, -0.6]], np.float32)
SOURCES = ("net", "follows", "popularity")


def rankers_facts() -> tuple[np.ndarray, np.ndarray]:
    """Items 0 and 1 are in category 2, below 0; items 2 and 3 in category 3, below 1; item 4 is in none."""
    member = csr_array(np.array([[0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]], np.float32))
    return np.stack(member.nonzero()).astype(np.int32), np.array([-1, -1, 0, 1], np.int32)


def table(p: np.ndarray, items: list[int], history: list[int], now_day: int = 100) -> dict[str, list[float]]:
    """The features of one user's candidates, by name."""
    sold = histories_from_arrays([0] * 3, [0, 0, 2], [10 * DAY_US, 95 * DAY_US, 99 * DAY_US], n_items=5)
    own = histories_from_arrays([0] * len(history), history, np.arange(len(history)) * DAY_US, n_users=1, n_items=5)
    had = np.isin(items, history)[None]
    chosen = Candidates(np.array([items]), had, np.ones_like(had))
    mixed = p[None].sum(axis=2)
    facts = facts_of(pace_of(sold), VECTORS, *rankers_facts())
    x = features(p[None], mixed, np.array([items]), chosen, own, np.array([now_day * DAY_US]), facts)
    names = feature_names(SOURCES)
    assert x.shape == (1, len(items), len(names))
    return {name: x[0, :, column].tolist() for column, name in enumerate(names)}


def test_features_are_what_their_names_say() -> None:
    p = np.array([[0.2, 0.0, 0.1], [0.3, 0.5, 0.1], [0.1, 0.2, 0.1], [0.4, 0.2, 0.1]], np.float32)
    of = table(p, items=[0, 1, 2, 3], history=[3, 1])
    np.testing.assert_allclose(of["log_p_net"], np.log(p[:, 0]), rtol=1e-5)
    assert of["named_by_follows"] == [0, 1, 1, 1]
    assert of["had"] == [0, 1, 0, 1]
    # New items and such as the user had are ranked apart: 0 and 2; 1 and 3.
    np.testing.assert_allclose(of["rank_net"], np.log1p([0, 1, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(of["rank_follows"], np.log1p([1, 0, 0, 1]), rtol=1e-6)
    np.testing.assert_allclose(of["events_30d"], np.log1p([1, 0, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(of["events_ever"], np.log1p([2, 0, 1, 0]), rtol=1e-6)
    np.testing.assert_allclose(of["idle"], np.log1p([5, 3650, 1, 3650]), rtol=1e-5)
    np.testing.assert_allclose(of["age"], np.log1p([90, 3650, 1, 3650]), rtol=1e-5)


def test_nearness_is_the_cosine_of_the_nets_vectors() -> None:
    of = table(np.full((2, 3), 0.1, np.float32), items=[0, 4], history=[1, 3, 2])
    np.testing.assert_allclose(of["near_last"], VECTORS[[0, 4]] @ VECTORS[2], atol=1e-6)
    np.testing.assert_allclose(of["near_history"], (VECTORS[[0, 4]] @ VECTORS[[1, 3, 2]].T).mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(of["near_any"], (VECTORS[[0, 4]] @ VECTORS[[1, 3, 2]].T).max(axis=1), atol=1e-6)


def test_likeness_is_that_of_the_categories_up_to_the_root() -> None:
    member, parent = rankers_facts()
    weight = np.log(5 / np.array([2, 2, 2, 2]))  # each category has two of the five items, ancestors counted
    paths = np.array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 0, 1], [0, 0, 0, 0]]) * weight
    np.testing.assert_allclose(
        facts_of(
            pace_of(histories_from_arrays([], [], [], n_users=1, n_items=5)), VECTORS, member, parent
        ).categories.toarray(),
        paths,
        rtol=1e-5,
    )
    of = table(np.full((5, 3), 0.1, np.float32), items=[0, 1, 2, 3, 4], history=[2, 1])
    np.testing.assert_allclose(of["like_last"], [1, 1, 0, 0, 0], atol=1e-5)
    np.testing.assert_allclose(of["like_history"], [0.5, 0.5, 0.5, 0.5, 0], atol=1e-5)
    np.testing.assert_allclose(of["rarest_shared_with_last"], [weight[0], weight[0], 0, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(of["rarest_shared_with_history"], [weight[0]] * 4 + [0], rtol=1e-5)


def test_who_has_no_history_and_shops_without_categories_have_features_too() -> None:
    nobody = histories_from_arrays([], [], [], n_users=1, n_items=3)
    facts = facts_of(pace_of(nobody), VECTORS, np.zeros((2, 0), np.int32), np.zeros(0, np.int32))
    p = np.full((1, 3, 3), 0.1, np.float32)
    chosen = choose(p.sum(axis=2), np.zeros((1, 3), np.bool_))
    p = p[:, chosen.place[0]]
    x = features(p, p.sum(axis=2), chosen.place, chosen, nobody, np.array([0]), facts)
    assert np.isfinite(x).all()


def test_candidates_are_the_strongest_of_each_kind() -> None:
    random = np.random.default_rng(0)
    p, had = random.random((4, 400)).astype(np.float32), random.random((4, 400)) < [[0.0], [0.05], [0.5], [1.0]]
    chosen = choose(p, had)
    for row in range(4):
        for kind, most in ((False, NEW), (True, HAD)):
            mine = chosen.valid[row] & (chosen.had[row] == kind)
            there = np.flatnonzero(had[row] == kind)
            best = there[np.argsort(-p[row, there])][:most]
            assert sorted(chosen.place[row, mine].tolist()) == sorted(best.tolist())


@pytest.fixture
def ranker(learned: Learned) -> Ranker:
    """One that turns everything upside down."""
    return random_ranker(learned.mixture)


def test_an_order_changes_and_no_sum(learned: Learned, split: Split, ranker: Ranker) -> None:
    plain, asked = learned.mixture.with_ranker(None), split.validation
    before, after = (m.scores(asked.histories, asked.now_us) for m in (plain, plain.with_ranker(ranker)))
    np.testing.assert_allclose(np.exp(after.astype(np.float64)).sum(axis=1), 1, rtol=1e-4)
    first, then = (np.argsort(-scores, axis=1)[:, :10] for scores in (before, after))
    assert (first != then).any(axis=1).mean() > 0.5


def test_items_that_are_no_candidates_keep_their_order(
    learned: Learned, split: Split, ranker: Ranker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.ranker_features.NEW", 5)
    monkeypatch.setattr("training.ranker_features.HAD", 2)
    asked = split.validation.select(np.arange(10))
    plain = learned.mixture.with_ranker(None)
    before, after = (m.scores(asked.histories, asked.now_us) for m in (plain, plain.with_ranker(ranker)))
    for row in range(10):
        moved = after[row] - before[row]
        usual = np.median(moved)
        assert (np.abs(moved - usual) < 1e-4).sum() >= len(moved) - 7
        assert (moved >= usual - 1e-4).all()  # nothing falls deeper than what nobody looked at


def test_it_comes_back_from_disk(tmp_path: Path, ranker: Ranker, learned: Learned) -> None:
    write_ranker(tmp_path, ranker, learned.mixture.facts.pace)
    read = read_ranker(tmp_path)
    assert read is not None
    x = np.random.default_rng(0).normal(size=(2, 3, len(ranker.names))).astype(np.float32)
    np.testing.assert_array_equal(read.tilt(x), ranker.tilt(x))
    np.save(tmp_path / "ranker" / "bias1.npy", np.zeros(3, np.float32))
    with pytest.raises(ArtifactError, match=r"bias1\.npy has shape"):
        read_ranker(tmp_path)
    (tmp_path / "ranker.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is not a ranker"):
        read_ranker(tmp_path)
    (tmp_path / "ranker.json").unlink()
    assert read_ranker(tmp_path) is None


def test_an_artifact_ranks_as_the_model_did(learned: Learned, split: Split, ranker: Ranker, tmp_path: Path) -> None:
    model = replace(learned.model, ranker=ranker)
    mixture, asked = mixture_of(model, split.trained), split.validation
    publish_model(tmp_path, 1, model.net.state_dict(), model.net.config.model_dump(mode="json"))
    revision = revision_of(model, mixture, split.trained, config={}, metrics={})
    artifact = load_artifact(publish_revision(tmp_path, 1, 1, revision))
    scores = artifact.mixture.scores(asked.histories, asked.now_us)
    np.testing.assert_allclose(scores, mixture.scores(asked.histories, asked.now_us), rtol=1e-4, atol=1e-4)
    other = replace(revision, ranker=replace(ranker, names=("another", *ranker.names[1:])))
    with pytest.raises(ArtifactError, match="reads other features"):
        _ = load_artifact(publish_revision(tmp_path, 1, 2, other)).mixture


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small steps on small data in one thread: two would wait for each other on a busy machine."""
    monkeypatch.setattr("training.ranker_fit.FEWEST_QUERIES", 20)
    monkeypatch.setattr("training.ranker_fit.FEWEST_STEPS", 100)
    monkeypatch.setattr("training.ranker_fit.LEARNING_RATE", 5e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def by_age(mixture: Mixture, queries: Queries) -> Queries:
    """The same users, who all want the newest of what the mixture would offer: a rule that only the ranker can see."""
    chosen = choose(
        np.exp(mixture.with_ranker(None).scores(queries.histories, queries.now_us)),
        np.zeros((len(queries), len(mixture.popularity)), np.bool_),
    )
    age = mixture.facts.pace.age_days(chosen.place, np.broadcast_to(queries.now_us[:, None], chosen.place.shape))
    best = np.take_along_axis(chosen.place, np.where(chosen.valid, age, np.inf).argmin(axis=1)[:, None], axis=1)
    rows = np.arange(len(queries))
    relevance = csr_array((np.ones(len(rows), np.float32), (rows, best[:, 0])), shape=queries.relevance.shape)
    return replace(queries, relevance=relevance)


@pytest.mark.usefixtures("quick")
@pytest.mark.timeout(240)  # four fits each, and the first one twice
def test_it_learns_what_the_mixture_cannot_say(learned: Learned, split: Split) -> None:
    mixture, queries = learned.mixture.with_ranker(None), by_age(learned.mixture, split.validation)
    others, judges = queries.select(np.arange(0, len(queries), 2)), queries.select(np.arange(1, len(queries), 2))
    ranker, trial = fit_ranker(mixture, others, exclude_seen=False)
    assert trial is not None
    assert 0 < len(trial.learned_from) < len(others)
    assert np.isin(trial.learned_from, others.users).all()
    assert ranker is not None
    before, after = (
        evaluate(judges, {"": [each]}, seen="include")[0].means["ndcg@10"]
        for each in (mixture, mixture.with_ranker(ranker))
    )
    assert after > 2 * before
    again, _ = fit_ranker(mixture, others, exclude_seen=False)
    assert again is not None
    np.testing.assert_array_equal(again.layers[0][0], ranker.layers[0][0])


@pytest.mark.usefixtures("quick")
@pytest.mark.timeout(240)
def test_what_does_not_help_is_not_used(learned: Learned, split: Split) -> None:
    """Relevant is what the mixture names first: no other order can be better."""
    mixture, queries = learned.mixture.with_ranker(None), split.validation
    scores = mixture.scores(queries.histories, queries.now_us)
    rows = np.arange(len(queries))
    best = csr_array((np.ones(len(rows), np.float32), (rows, scores.argmax(axis=1))), shape=queries.relevance.shape)
    assert fit_ranker(mixture, replace(queries, relevance=best), exclude_seen=False)[0] is None


def judged(moved: float, lost: float, n: int) -> bool:
    """Of n queries with four new and four had items, relevant are the third new one and the first three of the others.

    In a share `moved` of them a ranker brings that new item to the top, in a share `lost` these three to the bottom.
    """
    random = np.random.default_rng(0)
    log_p = torch.log_softmax(torch.tensor([[3.0, 2.0, 1.0, -1.0, 6.0, 5.0, 4.0, 0.0]]).repeat(n, 1), dim=1)
    had = torch.arange(8).repeat(n, 1) >= 4
    relevant = torch.zeros(n, 8, dtype=torch.bool)
    relevant[:, [2, 4, 5, 6]] = True
    x = torch.zeros(n, 8, 1)
    x[:, 2, 0] = torch.from_numpy(np.where(random.random(n) < moved, 5.0, 0.0))
    x[:, 4:7, 0] = torch.from_numpy(np.where(random.random(n) < lost, -5.0, 0.0))[:, None]
    data = Data(x, log_p, relevant, had, torch.ones(n, 8, dtype=torch.bool))
    return is_better(x[:, :, 0], data, exclude_seen=False)


def test_a_ranker_must_gain_beyond_doubt_and_lose_in_no_ranking() -> None:
    assert judged(moved=1, lost=0, n=400)
    assert not judged(moved=0, lost=0, n=400)
    assert not judged(moved=0.02, lost=0, n=40)  # one query of forty is luck
    assert not judged(moved=1, lost=1, n=400)  # new items gain more than all items lose


def test_few_queries_teach_nothing(learned: Learned, split: Split) -> None:
    assert fit_ranker(learned.mixture, split.validation.select(np.arange(50)), exclude_seen=False) == (None, None)
