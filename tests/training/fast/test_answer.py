"""The fast way says what the mixture says: of a small catalog exactly, of a large one where it matters."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from graph.arrays import Int64s
from graph.histories import Histories, histories_from_arrays
from graph.storage.times import DAY_US
from tests.training.rankers import random_ranker
from training.evaluation.protocols import Split
from training.evaluation.queries import Queries
from training.fast.answer import BATCH, Answer, FastMixture
from training.fast.cells import cells_of
from training.fast.loops import look_into_cells
from training.mixture import Mixture
from training.recency import Recency
from training.train import Learned

NOTHING = np.zeros(0, np.int64)


@pytest.fixture(scope="module", params=["plain", "ranked", "turning"])
def mixture(learned: Learned, request: pytest.FixtureRequest) -> Mixture:
    """As learned; with a ranker that turns everything upside down; and where the newest events count by themselves."""
    ranker = None if request.param == "plain" else random_ranker(learned.mixture)
    recency = Recency(0.8, 1_000.0) if request.param == "turning" else Recency()
    return learned.mixture.with_ranker(ranker).with_recency(recency)


@pytest.fixture(scope="module")
def asked(split: Split) -> Queries:
    return split.validation


def answers(fast: FastMixture, histories: Histories, now_us: Int64s) -> list[Answer]:
    rows = np.array_split(np.arange(len(histories)), -(-len(histories) // BATCH))
    return [one for part in rows for one in fast.answer(histories.select(part), now_us[part])]


def now_of(asked: Queries) -> int:
    return int(asked.now_us[0])


def test_a_small_catalog_is_answered_exactly(mixture: Mixture, asked: Queries) -> None:
    exact = np.exp(mixture.scores(asked.histories, asked.now_us))
    fast = FastMixture.of(mixture, now_of(asked))
    for row, answer in enumerate(answers(fast, asked.histories, asked.now_us)):
        assert sorted(answer.item.tolist()) == list(range(exact.shape[1]))
        np.testing.assert_allclose(answer.p, exact[row, answer.item], rtol=2e-3, atol=1e-7)
        np.testing.assert_allclose(answer.share.sum(axis=1), answer.p, rtol=1e-4)


def test_a_few_cells_tell_the_normaliser(learned: Learned, asked: Queries) -> None:
    net, n_items = learned.mixture.net, len(learned.mixture.popularity)
    rows = np.random.default_rng(0).integers(n_items, size=20 * n_items)
    noisy = net.vectors[rows] + np.float32(0.05) * np.random.default_rng(1).normal(
        size=(len(rows), net.vectors.shape[1])
    )
    vectors = (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)
    prior = np.random.default_rng(2).normal(size=len(rows)).astype(np.float32)
    cells = cells_of(vectors, prior, net.temperature, few=100)
    place, logit, work = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32), np.empty(len(rows), np.float32)
    users = net.users(asked.histories)
    exact = np.log(np.exp(net.temperature * (users[:, 0] @ vectors.T) + prior).sum(axis=1))
    wrong_by, looked_at = [], []
    for row, user in enumerate(users):
        estimate = cells.log_mass + cells.temperature * (user @ cells.center.T).max(axis=0)
        n, log_z = look_into_cells(
            user, estimate, cells.offsets, cells.vectors, cells.prior, cells.temperature, place, logit, work
        )
        wrong_by.append(abs(float(log_z) - exact[row]))
        looked_at.append(n / len(rows))
    assert np.mean(wrong_by) < 0.02
    assert np.mean(looked_at) < 0.5


def test_each_source_adds_what_the_mixture_says(mixture: Mixture, asked: Queries) -> None:
    fast = FastMixture.of(mixture, now_of(asked))
    for row, answer in enumerate(answers(fast, asked.histories, asked.now_us)[:5]):
        explained = mixture.explain(asked.histories.select([row]), int(asked.now_us[row]), answer.item)
        np.testing.assert_allclose(answer.share, explained, rtol=5e-3, atol=1e-7)


def test_of_a_large_catalog_the_best_are_found(mixture: Mixture, asked: Queries) -> None:
    """As if the catalog were larger than what is looked at: cells, the strongest of each side, what the user had."""
    exact = np.exp(mixture.scores(asked.histories, asked.now_us).astype(np.float64))
    fast = FastMixture.of(mixture, now_of(asked), capacity=exact.shape[1] - 1, strongest=25)
    assert len(fast.cells.center) > 10
    found, wrong_by = [], []
    for row, answer in enumerate(answers(fast, asked.histories, asked.now_us)):
        best = np.argsort(-exact[row], kind="stable")[:10]
        mine = answer.item[np.argsort(-answer.p, kind="stable")[:10]]
        assert len(answer.item) < exact.shape[1]
        found.append(len(np.intersect1d(best, mine)) / 10)
        wrong_by.append(np.abs(np.log(answer.p / exact[row, answer.item])).mean())
    assert np.mean(found) > 0.97
    # What is no candidate is tilted as the least of these, and here they are a part of what should be.
    assert np.mean(wrong_by) < (0.1 if mixture.ranker else 0.03)


@pytest.mark.parametrize("is_large", [False, True])
def test_any_items_are_told_of_as_if_they_were_candidates(mixture: Mixture, asked: Queries, is_large: bool) -> None:
    """Those that are, those that are not, and those that a dislike makes fall."""
    n_items = asked.histories.n_items
    against = histories_from_arrays([1, 1], [3, 9], [now_of(asked) - DAY_US] * 2, n_users=3, n_items=n_items)
    histories = replace(asked.histories.select([0, 1, 2]), against=against)
    exact = np.exp(mixture.scores(histories, asked.now_us[:3]))
    fast = FastMixture.of(mixture, now_of(asked), capacity=n_items - is_large, strongest=25)
    wanted = np.random.default_rng(0).permutation(n_items)[: n_items // 2]
    for row, answer in enumerate(fast.answer(histories, asked.now_us[:3])):
        assert (len(answer.item) < n_items) == is_large
        share = fast.shares(answer, wanted)
        assert share.shape == (len(wanted), len(mixture.sources))
        np.testing.assert_allclose(fast.p(answer, wanted), share.sum(axis=1), rtol=1e-4)
        if not is_large or mixture.ranker is None:  # which tilts what is no candidate as the least of these
            rtol, atol = (0.25, 1e-5) if is_large else (5e-3, 1e-7)
            np.testing.assert_allclose(share.sum(axis=1), exact[row, wanted], rtol, atol)
        both = dict(zip(answer.item.tolist(), answer.p.tolist(), strict=True))
        same = [place for place, item in enumerate(wanted.tolist()) if item in both]
        kept = [both[int(wanted[place])] for place in same]
        np.testing.assert_allclose(share[same].sum(axis=1), kept, rtol=0.02 if row == 1 else 1e-4)
        assert fast.shares(answer, NOTHING).shape == (0, len(mixture.sources))
        assert fast.p(answer, NOTHING).shape == (0,)
    for say_of in (fast.p, fast.shares):
        with pytest.raises(IndexError, match="items are 0 to"):
            say_of(answer, np.array([n_items]))


def test_who_has_no_history_gets_what_is_popular(mixture: Mixture) -> None:
    n_items = len(mixture.popularity)
    nobody = histories_from_arrays([], [], [], n_users=1, n_items=n_items)
    for capacity in (n_items, n_items - 1):
        fast = FastMixture.of(mixture, 0, capacity=capacity, strongest=25)
        (answer,) = fast.answer(nobody, np.zeros(1, np.int64))
        assert (answer.share[:, :-1] == 0).all()
        np.testing.assert_allclose(np.sort(answer.p)[-10:], np.sort(mixture.popularity)[-10:], rtol=1e-3)


def test_what_is_disliked_falls_as_in_the_mixture(mixture: Mixture, asked: Queries) -> None:
    best = np.argsort(-mixture.scores(asked.histories.select([0]), asked.now_us[:1])[0])[:2]
    now = now_of(asked)
    disliked = histories_from_arrays([0, 0], best, [now - DAY_US] * 2, n_users=2, n_items=asked.histories.n_items)
    history = replace(asked.histories.select([0, 1]), against=disliked)
    exact = np.exp(mixture.scores(history, asked.now_us[:2]))
    both = FastMixture.of(mixture, now).answer(history, asked.now_us[:2])
    for row, answer in enumerate(both):
        np.testing.assert_allclose(answer.p, exact[row, answer.item], rtol=5e-3, atol=1e-8)
        np.testing.assert_allclose(answer.share.sum(axis=1), answer.p, rtol=1e-4)


def test_users_do_not_depend_on_their_batch_nor_on_other_threads(mixture: Mixture, asked: Queries) -> None:
    fast = FastMixture.of(mixture, now_of(asked))
    together = answers(fast, asked.histories, asked.now_us)

    def alone(row: int) -> Answer:
        return fast.answer(asked.histories.select([row]), asked.now_us[row : row + 1])[0]

    with ThreadPoolExecutor(4) as threads:
        for one, other in zip(threads.map(alone, range(len(together))), together, strict=True):
            np.testing.assert_array_equal(one.item, other.item)
            np.testing.assert_allclose(one.p, other.p, rtol=1e-3, atol=1e-8)


def test_sales_are_counted_as_of_the_moment(mixture: Mixture, asked: Queries) -> None:
    now = now_of(asked)
    then = FastMixture.of(mixture, now - 200 * DAY_US)
    later = then.as_of(now)
    assert (then.tables.pace != later.tables.pace).any()
    np.testing.assert_array_equal(later.tables.pace, FastMixture.of(mixture, now).tables.pace)
    exact = np.exp(mixture.scores(asked.histories.select([0]), asked.now_us[:1]))[0]
    (answer,) = later.answer(asked.histories.select([0]), asked.now_us[:1])
    np.testing.assert_allclose(answer.p, exact[answer.item], rtol=2e-3, atol=1e-7)
