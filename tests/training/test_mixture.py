"""The mixture: a distribution, the same however it is asked, and better than its parts."""

from dataclasses import replace

import numpy as np
import pytest

from graph.histories import Histories, histories_from_arrays
from tests.training.rankers import random_ranker
from training.evaluation.metrics import per_user, top_ranks
from training.evaluation.protocols import Split
from training.evaluation.queries import Queries
from training.memories import Repeats
from training.mixture import Mixture
from training.train import Learned


@pytest.fixture(scope="module", params=["plain", "ranked"])
def mixture(learned: Learned, request: pytest.FixtureRequest) -> Mixture:
    """As learned, and with a ranker that turns everything upside down."""
    return learned.mixture.with_ranker(random_ranker(learned.mixture) if request.param == "ranked" else None)


@pytest.fixture(scope="module")
def asked(split: Split) -> Queries:
    return split.validation


def nobody(n_items: int) -> Histories:
    return histories_from_arrays([], [], [], n_users=1, n_items=n_items)


def test_scores_are_log_probabilities(mixture: Mixture, asked: Queries) -> None:
    p = np.exp(mixture.scores(asked.histories, asked.now_us).astype(np.float64))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-4)


def test_a_users_scores_do_not_depend_on_the_others(
    mixture: Mixture, asked: Queries, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = mixture.scores(asked.histories, asked.now_us)
    monkeypatch.setattr("training.mixture._CHUNK_CELLS", 1)
    np.testing.assert_allclose(mixture.scores(asked.histories, asked.now_us), together, atol=1e-4)


def test_contributions_sum_to_the_probability(mixture: Mixture, asked: Queries) -> None:
    history, now = asked.histories.select([3]), int(asked.now_us[3])
    p = np.exp(mixture.scores(history, asked.now_us[3:4])[0])
    everything = np.arange(len(p))
    np.testing.assert_allclose(mixture.explain(history, now, everything).sum(axis=1), p, rtol=1e-3)
    some = np.array([7, 3, 60])
    np.testing.assert_allclose(mixture.explain(history, now, some), mixture.explain(history, now, everything)[some])


def test_who_has_no_history_gets_what_is_popular(mixture: Mixture) -> None:
    n_items = len(mixture.popularity)
    np.testing.assert_allclose(
        np.exp(mixture.scores(nobody(n_items), np.zeros(1, np.int64))[0]), mixture.popularity, rtol=1e-3
    )
    assert (mixture.explain(nobody(n_items), 0, np.arange(n_items))[:, :-1] == 0).all()


def test_an_unsold_catalog_still_ranks(mixture: Mixture) -> None:
    fresh = replace(mixture, popularity=np.full_like(mixture.popularity, 1 / len(mixture.popularity)))
    assert np.isfinite(fresh.scores(nobody(len(fresh.popularity)), np.zeros(1, np.int64))).all()


def test_the_mixture_is_better_than_its_parts(mixture: Mixture, asked: Queries, split: Split) -> None:
    """On the test window, which neither net nor gate has seen, all from events before the validation window."""
    queries = split.test
    whole = ndcg(mixture.scores(queries.histories, queries.now_us), queries)
    net = ndcg(np.log(mixture.net.probabilities(mixture.net.users(queries.histories))), queries)
    repeats = next(memory for memory in mixture.memories if isinstance(memory, Repeats))
    own = ndcg(repeats.recall(queries.histories, queries.now_us).toarray(), queries)
    popular = ndcg(np.tile(mixture.popularity, (len(queries), 1)), queries)
    assert whole > max(net, own, popular)


def ndcg(scores: np.ndarray, queries: Queries) -> float:
    excluded = ~queries.catalog[None, :]
    ranks = top_ranks(scores.astype(np.float32), excluded, queries.relevance)
    return float(per_user(ranks, np.diff(queries.relevance.indptr))["ndcg@10"].mean())
