"""Score, Recommend and GetInterests against the artifact's own dense scores over a snapshot of the store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from penchant import vectors
from penchant.errors import FailedPreconditionError, InvalidArgumentError
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1 import interest_pb2 as interest

from graph.snapshot import take_snapshot
from graph.taxonomy import ancestors_matrix
from training.horizon import NEXT_EVENT

if TYPE_CHECKING:
    from tests.server.conftest import Served

GONE, NEWER = "i9", "newer-item"


Dense = Callable[["Served", str, Any], NDArray[np.float32]]


@pytest.fixture(scope="module")
def dense(stored_histories: Any) -> Dense:
    """log p of every item of m1.1 for a user at the moment that an answer names."""

    def scores(served: "Served", user: str, moment: Any) -> NDArray[np.float32]:
        now = moment.ToMicroseconds()
        history = stored_histories(served, [user], now)
        found: NDArray[np.float32] = served.world.artifact("m1.1").mixture.scores(history, np.array([now]))[0]
        return found

    return scores


def items_of(answer: interest.RecommendResponse) -> list[str]:
    return [each.item for each in answer.items]


def test_scores_are_those_of_the_artifact(anywhere: "Served", dense: Dense) -> None:
    ids = [f"i{i}" for i in range(60)]
    answer = anywhere.client.score("u5", ids)
    assert [row.item for row in answer.scores] == ids
    index = anywhere.world.artifact("m1.1").items.index_of(ids)
    expected = dense(anywhere, "u5", answer.history_as_of)[index]
    np.testing.assert_allclose([row.score for row in answer.scores], expected, rtol=1e-4)
    for row in answer.scores:
        assert sum(part.share for part in row.contributions) == pytest.approx(np.exp(row.score), rel=1e-4)
        shares = [part.share for part in row.contributions]
        assert shares == sorted(shares, reverse=True)
    assert (answer.model_version, answer.horizon) == ("m1.1", interest.PROBABILITY_HORIZON_NEXT_EVENT)
    assert answer.history_events > 10


def test_columns_say_what_rows_say(served: "Served") -> None:
    ids = ["i5", "nowhere", NEWER, "i7", "i5"]
    rows = served.client.score("u6", ids, skip_contributions=True)
    answer: Any = served.client.call(interest.ScoreRequest(user="u6", items=ids, as_columns=True))
    assert not answer.scores
    assert list(answer.columns.statuses) == [row.status for row in rows.scores]
    told = [row.status == interest.SCORE_STATUS_OK for row in rows.scores]
    assert told == [True, False, False, True, True]
    for name, column in (("score", answer.columns.scores), ("probability", answer.columns.probabilities)):
        expected = [getattr(row, name) if is_told else np.nan for row, is_told in zip(rows.scores, told, strict=True)]
        np.testing.assert_allclose(column, expected, rtol=1e-5)
    nothing: Any = served.client.call(interest.ScoreRequest(user="u6", items=["nowhere"], as_columns=True))
    assert np.isnan(nothing.columns.scores).all()


@pytest.mark.parametrize("kind", ["", "purchase"])
def test_probabilities_within_days_are_those_of_the_calibration(
    anywhere: "Served", dense: Dense, stored_histories: Any, kind: str
) -> None:
    artifact = anywhere.world.artifact("m1.1")
    calibrator = artifact.calibration.within(kind or None)
    assert calibrator is not None
    ids = [f"i{i}" for i in range(60)]
    answer = anywhere.client.score("u5", ids, within_days=True, kind=kind)
    assert (answer.horizon, answer.horizon_days, answer.kind, answer.calibrated) == (
        interest.PROBABILITY_HORIZON_WITHIN_DAYS,
        15.0,
        kind,
        True,
    )
    now = answer.history_as_of.ToMicroseconds()
    history = stored_histories(anywhere, ["u5"], now)
    index = artifact.items.index_of(ids)
    log_p = dense(anywhere, "u5", answer.history_as_of)[index]
    activity = np.repeat(calibrator.activity(history, np.array([now])), 60)
    expected = calibrator(log_p, np.isin(index, history.item), activity)
    np.testing.assert_allclose([row.probability for row in answer.scores], expected, rtol=1e-3)
    plain = anywhere.client.score("u5", ids)
    assert [row.score for row in plain.scores] == pytest.approx([row.score for row in answer.scores], abs=1e-5)
    assert (plain.horizon_days, plain.kind) == (0.0, "")
    best = anywhere.client.recommend("u5", 60, within_days=True, kind=kind)
    assert (best.horizon, best.horizon_days, best.kind) == (answer.horizon, 15.0, kind)
    of_item = {row.item: row.probability for row in answer.scores}
    for each in best.items:
        assert each.probability == pytest.approx(of_item[each.item], rel=1e-3)


def test_the_next_event_says_whether_it_is_calibrated(anywhere: "Served") -> None:
    answer = anywhere.client.score("u5", ["i1"])
    is_calibrated = anywhere.world.artifact("m1.1").calibration.find(NEXT_EVENT) is not None
    assert answer.calibrated == is_calibrated
    if not is_calibrated:
        assert answer.scores[0].probability == pytest.approx(np.exp(answer.scores[0].score), rel=1e-5)


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"horizon": 7}, InvalidArgumentError, "horizon 7"),
        ({"kind": "purchase"}, InvalidArgumentError, "within days"),
        ({"horizon": 2, "kind": "no such kind"}, InvalidArgumentError, "knows no kind"),
        ({"horizon": 2, "kind": "x\x01"}, InvalidArgumentError, "control characters"),
        ({"horizon": 2, "kind": "rating"}, FailedPreconditionError, "a rating within days"),
    ],
)
def test_a_horizon_that_cannot_be_told_is_refused(
    served: "Served", fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    for request in (
        interest.ScoreRequest(user="u1", items=["i1"], **fields),
        interest.RecommendRequest(user="u1", **fields),
    ):
        with pytest.raises(error, match=said):
            served.client.call(request)


def test_recommend_is_the_exact_ranking_of_what_is_available(anywhere: "Served", dense: Dense) -> None:
    answer = anywhere.client.recommend("u6", 1_000)
    artifact = anywhere.world.artifact("m1.1")
    expected = dense(anywhere, "u6", answer.history_as_of)
    assert set(items_of(answer)) == set(artifact.items.external.to_pylist()) - {GONE}
    ranked = expected[artifact.items.index_of(items_of(answer))]
    assert (np.diff(ranked) < 1e-5).all()
    np.testing.assert_allclose([row.score for row in answer.items], ranked, rtol=1e-4)
    assert items_of(anywhere.client.recommend("u6", 5)) == items_of(answer)[:5]
    bare = anywhere.client.recommend("u6", 5, skip_contributions=True)
    assert items_of(bare) == items_of(answer)[:5]
    assert not any(row.contributions for row in bare.items)


def test_ten_come_back_where_k_is_not_given(served: "Served") -> None:
    assert len(served.client.recommend("u6", 0).items) == 10


def test_a_stranger_gets_what_is_popular(served: "Served") -> None:
    answer = served.client.recommend("nobody we know", 60)
    assert answer.history_events == 0
    artifact = served.world.artifact("m1.1")
    popularity = artifact.popularity[artifact.items.index_of(items_of(answer))]
    assert (np.diff(popularity) <= 1e-7).all()
    np.testing.assert_allclose(np.exp([row.score for row in answer.items]), popularity, rtol=1e-5)
    assert {part.source for row in answer.items for part in row.contributions} == {"popularity"}


def test_rows_that_cannot_be_scored_keep_their_place(served: "Served") -> None:
    ids = ["i1", "no such item", NEWER, GONE, "i1"]
    rows = served.client.score("u1", ids).scores
    assert [row.item for row in rows] == ids
    ok, unknown, newer = (
        interest.SCORE_STATUS_OK,
        interest.SCORE_STATUS_UNKNOWN_ITEM,
        interest.SCORE_STATUS_NOT_IN_REVISION,
    )
    assert [row.status for row in rows] == [ok, unknown, newer, ok, ok]
    assert rows[0] == rows[4]
    assert not rows[1].contributions
    assert rows[1].score == rows[2].score == 0


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (common.ItemFilter(), lambda i, seen: i != 9),
        (common.ItemFilter(include_unavailable=True), lambda i, seen: True),
        (common.ItemFilter(categories_in=["c2"]), lambda i, seen: i % 4 == 2),
        (common.ItemFilter(categories_in=["c1", "c2"]), lambda i, seen: i % 4 in (1, 2) and i != 9),
        (common.ItemFilter(categories_in=["c-all"]), lambda i, seen: i != 9),
        (common.ItemFilter(categories_in=["c-all"], categories_out=["c0"]), lambda i, seen: i % 4 and i != 9),
        (common.ItemFilter(categories_out=["c-all"]), lambda i, seen: False),
        (common.ItemFilter(categories_in=["no such category"]), lambda i, seen: False),
        (common.ItemFilter(categories_out=["no such category"]), lambda i, seen: i != 9),
        (common.ItemFilter(categories_in=["c-empty"]), lambda i, seen: False),
        (common.ItemFilter(items_out=["i1", "i2", "no such item"]), lambda i, seen: i not in (1, 2, 9)),
        (common.ItemFilter(seen=common.SEEN_RULE_EXCLUDE), lambda i, seen: i not in seen and i != 9),
        (common.ItemFilter(seen=common.SEEN_RULE_ONLY), lambda i, seen: i in seen and i != 9),
        (
            common.ItemFilter(seen=common.SEEN_RULE_ONLY, categories_in=["c3"], include_unavailable=True),
            lambda i, seen: i in seen and i % 4 == 3,
        ),
    ],
)
def test_filters_act_before_the_best_are_taken(served: "Served", wanted: common.ItemFilter, expected: Any) -> None:
    snapshot = take_snapshot(served.database, as_of=None)
    user = snapshot.users.index_of(["u7"])[0]
    had = snapshot.items.externals_of(snapshot.events.item[snapshot.events.user == user])
    seen = {int(item[1:]) for item in had}
    allowed = {f"i{i}" for i in range(60) if expected(i, seen)}
    everything = served.client.recommend("u7", 60, item_filter=wanted)
    assert set(items_of(everything)) == allowed
    some = served.client.recommend("u7", 5, item_filter=wanted)
    assert items_of(some) == items_of(everything)[:5]
    assert len(some.items) == min(5, len(allowed))
    unfiltered = {row.item: row.score for row in served.client.score("u7", [f"i{i}" for i in range(60)]).scores}
    for row in some.items:
        assert row.score == pytest.approx(unfiltered[row.item], rel=1e-4)


def test_interests_are_shares_and_lifts_at_every_depth(served: "Served", dense: Dense) -> None:
    answer = served.client.get_interests("u6", 10, with_vectors=True)
    artifact = served.world.artifact("m1.1")
    p = np.exp(dense(served, "u6", answer.history_as_of))
    table = artifact.item_categories.tocoo()
    above = ancestors_matrix(np.stack([table.row, table.col]), artifact.category_parent, len(p)).astype(float)
    share, population = p @ above, artifact.popularity @ above
    by_id = {each.category: each for each in answer.categories}
    assert set(by_id) == {"c-all", "c0", "c1", "c2", "c3"}
    for name, index in zip(by_id, artifact.categories.index_of(list(by_id)), strict=True):
        assert by_id[name].share == pytest.approx(share[index], rel=1e-3)
        assert by_id[name].lift == pytest.approx(share[index] / population[index], rel=1e-3)
        assert by_id[name].name == name.upper()
    assert answer.categories[0].category == "c2"  # what was planted
    assert by_id["c-all"].share == pytest.approx(1, abs=1e-3)
    assert [each.category for each in served.client.get_interests("u6", 2).categories] == list(by_id)[:2]

    matrix = vectors.decode(answer.interests.vectors)
    assert matrix.shape[1] == 16
    assert len(matrix) in (1, 2)
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, rtol=1e-5)
    assert sum(answer.interests.weights) == pytest.approx(1)
    assert len(answer.interests.weights) == len(answer.interests.names) == len(matrix)
    assert min(answer.interests.weights) >= 0.1
    heaviest = answer.interests.names[int(np.argmax(answer.interests.weights))]
    assert heaviest.categories[0].category == "c2"
    assert heaviest.categories[0].lift > 1.2
    assert answer.interests.vector_space == "m1"
    assert not served.client.get_interests("u6", 2).HasField("interests")


def test_a_stranger_leans_nowhere_and_sees_the_largest_first(served: "Served") -> None:
    answer = served.client.get_interests("nobody we know", 10, with_vectors=True)
    assert [round(each.lift, 4) for each in answer.categories] == [1] * 5
    shares = [each.share for each in answer.categories]
    assert shares == sorted(shares, reverse=True)
    assert (answer.interests.vectors.rows, answer.interests.vectors.dim) == (0, 16)
    assert answer.history_events == 0


def test_what_is_deleted_is_unknown_at_once(anywhere: "Served", eventually: Any) -> None:
    client = anywhere.client
    client.delete_item("i59")
    try:
        eventually(lambda: client.score("u1", ["i59"]).scores[0].status == interest.SCORE_STATUS_UNKNOWN_ITEM)
        wanted = common.ItemFilter(include_unavailable=True)
        assert "i59" not in items_of(client.recommend("u1", 60, item_filter=wanted))
    finally:
        client.upsert_items([catalog.Item(id="i59", name="Item 59", categories=["c3"])])
    eventually(lambda: "i59" in items_of(client.recommend("u1", 60)))


def test_many_threads_get_what_one_would(served: "Served") -> None:
    def ask(user: str) -> list[tuple[str, float]]:
        return [(row.item, row.score) for row in served.client.recommend(user, 60).items]

    users = [f"u{u}" for u in range(32)]
    with ThreadPoolExecutor(32) as pool:
        together = list(pool.map(ask, users * 4))
    alone = [ask(user) for user in users]
    for one, other in zip(together, alone * 4, strict=True):
        assert [item for item, _ in one] == [item for item, _ in other]
        np.testing.assert_allclose([score for _, score in one], [score for _, score in other], rtol=1e-4)
