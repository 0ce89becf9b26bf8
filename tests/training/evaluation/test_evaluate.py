"""The evaluator credits an oracle fully, a cheat not at all, and nobody can change what it asks."""

from collections.abc import Callable

import numpy as np
import pytest

from graph.histories import Histories
from graph.snapshot import Snapshot
from graph.storage.errors import PenchantError
from graph.storage.times import DAY_US
from tests.training.evaluation.scripted import Scripted
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import Split, time_split
from training.evaluation.queries import Seen

Make = Callable[..., Snapshot]
V = 40


@pytest.fixture
def split(make_snapshot: Make) -> Split:
    random = np.random.default_rng(6)
    rows = [(int(u), int(i), float(d)) for u, i, d in random.integers(0, [25, V, 40], (700, 3))]
    return time_split(make_snapshot(rows, n_items=V, as_of_day=40), test_start=30 * DAY_US, validation_days=8)


def items_of(histories: Histories) -> list[list[int]]:
    return [part.tolist() for part in np.split(histories.item, histories.offsets[1:-1])]


def noise(histories: Histories, now_us: np.ndarray) -> np.ndarray:
    """Chance, but the same for the same history."""
    rows = [np.random.default_rng([7, *items]).random(V, dtype=np.float32) for items in items_of(histories)]
    return np.array(rows, np.float32).reshape(len(histories), V)


@pytest.mark.parametrize("seen", ["include", "exclude"])
def test_a_perfect_oracle_scores_one(split: Split, seen: Seen) -> None:
    asked = split.test.under(seen)
    answers = asked.relevance.toarray() + noise(asked.histories, asked.now_us) * 0.5
    of_history = dict(zip(map(tuple, items_of(asked.histories)), answers, strict=True))

    def oracle(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        return np.array([of_history[tuple(items)] for items in items_of(histories)])

    (result,) = evaluate(split.test, {"as trained": [Scripted("oracle", oracle)]}, seen=seen)
    for name, values in result.per_user.items():
        np.testing.assert_allclose(values, 1.0, err_msg=name)
    assert result.new_hits == 1.0 if seen == "exclude" else 0 < result.new_hits < 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_score_that_is_no_number_stops_the_evaluation(split: Split, bad: float) -> None:
    def cheat(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        scores = noise(histories, now_us)
        scores[-1, -1] = bad
        return scores

    with pytest.raises(PenchantError, match="'cheat'"):
        evaluate(split.test, {"as trained": [Scripted("cheat", cheat)]}, seen="include")


def test_all_level_earns_nothing(split: Split) -> None:
    level = Scripted("level", lambda histories, now_us: np.zeros((len(histories), V), np.float32))
    (result,) = evaluate(split.test, {"as trained": [level]}, seen="include")
    assert all((values == 0).all() for values in result.per_user.values())
    assert np.isnan(result.new_hits)


def test_who_tampers_with_the_questions_changes_nothing_for_others(split: Split) -> None:
    parts = vars(split.test.histories).items()
    before = {name: array.copy() for name, array in parts if isinstance(array, np.ndarray)}

    def vandal(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        for array in (histories.item, histories.occurred_at, histories.step, histories.offsets, now_us):
            array[:] = 0
        return np.zeros((len(histories), V), np.float32)

    honest = Scripted("honest", noise)
    (alone,) = evaluate(split.test, {"c": [honest]}, seen="exclude")
    _, after = evaluate(split.test, {"c": [Scripted("vandal", vandal), honest]}, seen="exclude")
    assert all(np.array_equal(alone.per_user[name], after.per_user[name]) for name in alone.per_user)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(split.test.histories, name), array)


def test_a_rankers_own_arrays_are_left_alone(split: Split) -> None:
    asked = split.test.under("exclude")
    mine = noise(asked.histories, asked.now_us)
    kept = mine.copy()

    def own(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        return mine if np.array_equal(histories.item, asked.histories.item) else noise(histories, now_us)

    keeper = Scripted("keeper", own)
    evaluate(split.test, {"c": [keeper]}, seen="exclude")
    np.testing.assert_array_equal(mine, kept)


def test_a_ranker_is_asked_without_labels(split: Split) -> None:
    def check(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        assert (histories.occurred_at < np.repeat(now_us, histories.lengths)).all()
        return noise(histories, now_us)

    evaluate(split.test, {"c": [Scripted("checked", check)]}, seen="include")


def test_chunks_make_no_difference(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = [BASELINES["item-knn"](split.refreshed), BASELINES["own-frequency"](split.refreshed)]
    whole = evaluate(split.test, {"c": fitted}, seen="include")
    monkeypatch.setattr("training.evaluation.evaluate.CHUNK_CELLS", 3 * V)
    for one, other in zip(whole, evaluate(split.test, {"c": fitted}, seen="include"), strict=True):
        assert one.means == other.means


def test_seen_items_are_never_shown_when_excluded(split: Split) -> None:
    (own,) = evaluate(split.test, {"c": [BASELINES["own-frequency"](split.refreshed)]}, seen="exclude")
    assert own.new_hits == 1.0


@pytest.mark.parametrize("name", list(BASELINES))
def test_every_baseline_ranks_everything_for_everybody(split: Split, name: str) -> None:
    ranker = BASELINES[name](split.trained)
    scores = ranker.scores(split.test.histories, split.test.now_us)
    assert scores.shape == (len(split.test), V)
    assert scores.dtype == np.float32
    assert np.isfinite(scores).all()


def test_a_popular_item_outranks_a_popular_tie(make_snapshot: Make) -> None:
    rows = [(0, 0, 1), (0, 1, 2), (1, 2, 3), (1, 2, 4), (2, 3, 5)]
    snapshot = make_snapshot(rows, n_items=5)
    scores = BASELINES["popularity"](snapshot).scores(_nobody(snapshot), np.zeros(1, np.int64))[0]
    assert np.argsort(-scores).tolist() == [2, 3, 1, 0, 4]  # by count, ties by recency


def test_progress_reaches_its_end(split: Split) -> None:
    seen: list[tuple[int, int | None]] = []
    rankers = {"a": [Scripted("x", noise)], "b": [Scripted("y", noise)]}
    evaluate(split.test, rankers, seen="include", progress=lambda done, total: seen.append((done, total)))
    assert seen == 2 * [(len(split.test), len(split.test))]


def _nobody(snapshot: Snapshot) -> Histories:
    from graph.histories import histories_of

    return histories_of(snapshot).until(0).select([0])
