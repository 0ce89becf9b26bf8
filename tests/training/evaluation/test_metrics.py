"""Every metric on examples computed by hand, and the cheats that the evaluator has to catch."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from graph.storage.errors import PenchantError
from training.evaluation.bootstrap import paired_bootstrap
from training.evaluation.metrics import CUTS, per_user, recall_curve, require_finite, top_ranks

V = 30
NOBODY = np.zeros((1, V), dtype=bool)


def relevance(*rows: list[int]) -> csr_array:
    matrix = np.zeros((len(rows), V), dtype=np.float32)
    for row, items in enumerate(rows):
        matrix[row, items] = 1
    return csr_array(matrix)


def descending(users: int = 1) -> np.ndarray:
    """Item i is at rank i + 1."""
    return np.tile(-np.arange(V, dtype=np.float32), (users, 1))


def metrics_of(scores: np.ndarray, relevant: csr_array, excluded: np.ndarray = NOBODY) -> dict[str, np.ndarray]:
    return per_user(top_ranks(scores, excluded, relevant), np.diff(relevant.indptr))


def test_one_relevant_item() -> None:
    found = metrics_of(descending(2), relevance([6], [25]))
    assert found["recall@5"].tolist() == [0, 0]
    assert found["recall@10"].tolist() == [1, 0]
    np.testing.assert_allclose(found["ndcg@10"], [1 / np.log2(8), 0])
    np.testing.assert_allclose(found["mrr@20"], [1 / 7, 0])
    assert found["hit_rate@20"].tolist() == [1, 0]


def test_the_curve_passes_through_the_cuts() -> None:
    relevant = relevance([0, 2, 11], [25], [3], [6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 22])
    ranks, counts = top_ranks(descending(4), NOBODY, relevant), np.diff(relevant.indptr)
    curve, found = recall_curve(ranks, counts), per_user(ranks, counts)
    assert len(curve) == max(CUTS)
    for k in CUTS:
        assert curve[k - 1] == pytest.approx(found[f"recall@{k}"].mean())
    assert curve[0] == pytest.approx(1 / 4)  # one user's best item is relevant, of one that could be
    assert curve[1] == pytest.approx(1 / 2 / 4)


def test_several_relevant_items() -> None:
    found = metrics_of(descending(), relevance([1, 3, 8, 29]))
    assert found["recall@5"].tolist() == [2 / 4]
    assert found["recall@10"].tolist() == [3 / 4]
    dcg = 1 / np.log2(3) + 1 / np.log2(5) + 1 / np.log2(10)
    ideal = 1 / np.log2(2) + 1 / np.log2(3) + 1 / np.log2(4) + 1 / np.log2(5)
    np.testing.assert_allclose(found["ndcg@10"], [dcg / ideal])
    assert found["mrr@10"].tolist() == [1 / 2]


def test_more_relevant_items_than_places_can_still_be_perfect() -> None:
    found = metrics_of(descending(), relevance(list(range(25))))
    for name, values in found.items():
        np.testing.assert_allclose(values, [1.0], err_msg=name)


def test_the_edges_of_the_cuts() -> None:
    found = metrics_of(descending(6), relevance([4], [5], [9], [10], [19], [20]))
    assert found["hit_rate@5"].tolist() == [1, 0, 0, 0, 0, 0]
    assert found["hit_rate@10"].tolist() == [1, 1, 1, 0, 0, 0]
    assert found["hit_rate@20"].tolist() == [1, 1, 1, 1, 1, 0]


def test_a_tie_counts_against_the_target() -> None:
    scores = descending()
    scores[0, [5, 6, 7]] = -5  # three items level: the target is the last of them
    found = metrics_of(scores, relevance([5]))
    assert found["mrr@10"].tolist() == [1 / 8]


def test_one_score_for_all_earns_nothing() -> None:
    found = metrics_of(np.zeros((1, V), dtype=np.float32), relevance([0, 1, 2]))
    assert all(values.tolist() == [0] for values in found.values())


def test_a_small_catalog_in_which_everything_ties() -> None:
    relevant = csr_array(np.array([[1.0, 0, 0]]))
    ranks = top_ranks(np.zeros((1, 3), np.float32), np.zeros((1, 3), bool), relevant)
    assert ranks.rank.tolist() == [3]  # the last of three: still among the first five
    assert (ranks.top_items >= 0).sum() == 3


def test_excluded_items_are_neither_ranked_nor_hit() -> None:
    excluded = NOBODY.copy()
    excluded[0, :5] = True
    found = metrics_of(descending(), relevance([0, 5]), excluded)
    assert found["mrr@5"].tolist() == [1.0]  # item 5 moved up to the first place
    assert found["recall@10"].tolist() == [0.5]  # item 0 is relevant but no candidate: missed


def test_an_excluded_item_is_no_hit_when_few_candidates_are_left() -> None:
    excluded = np.ones((1, V), dtype=bool)
    excluded[0, 7] = False
    ranks = top_ranks(descending(), excluded, relevance([0, 7]))
    assert ranks.item.tolist() == [7]
    assert ranks.top_items[0].tolist() == [7] + [-1] * 9


def test_ranks_equal_a_plain_count() -> None:
    random = np.random.default_rng(0)
    scores = random.integers(0, 40, (50, V)).astype(np.float32)
    relevant = csr_array((random.random((50, V)) < 0.2).astype(np.float32))
    ranks = top_ranks(scores.copy(), NOBODY, relevant)
    expected = {
        (row, item): rank
        for row, item in zip(*relevant.nonzero(), strict=True)
        if (rank := int((scores[row] >= scores[row, item]).sum())) <= 20
    }
    assert {(r, i): k for r, i, k in zip(ranks.row, ranks.item, ranks.rank, strict=True)} == expected


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    scores = descending()
    scores[0, 3] = bad
    with pytest.raises(PenchantError, match="1 scores that are not finite") as caught:
        require_finite(scores, (1, V), "cheat")
    assert caught.value.reason == "NON_FINITE_SCORES"


def test_scores_of_another_shape_are_refused() -> None:
    with pytest.raises(PenchantError, match="shape"):
        require_finite(descending(), (2, V), "cheat")


def test_bootstrap_tells_better_from_lucky() -> None:
    random = np.random.default_rng(1)
    theirs = random.random(400)
    better = paired_bootstrap(theirs + 0.05 + random.normal(0, 0.1, 400), theirs)
    assert 0 < better.low < better.mean < better.high < 0.1
    lucky = paired_bootstrap(theirs + random.normal(0, 0.1, 400), theirs)
    assert lucky.low < 0 < lucky.high


def test_bootstrap_has_the_width_of_the_normal_interval_and_repeats_itself() -> None:
    random = np.random.default_rng(2)
    ours, theirs = random.random(3_000), random.random(3_000)
    found = paired_bootstrap(ours, theirs, samples=4_000)
    standard_error = (ours - theirs).std() / np.sqrt(3_000)
    np.testing.assert_allclose(found.high - found.low, 2 * 1.96 * standard_error, rtol=0.1)
    assert found == paired_bootstrap(ours, theirs, samples=4_000)


def test_bootstrap_of_different_users_is_refused() -> None:
    with pytest.raises(PenchantError, match="one value per user"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
