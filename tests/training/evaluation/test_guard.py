"""Cheats: who has seen the answers, or reaches for them, earns nothing or is refused."""

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest

from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US
from tests.training.evaluation.scripted import Scripted
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import evaluate
from training.evaluation.protocols import AS_TRAINED, Split, leave_one_out, time_split
from training.evaluation.queries import Queries, Seen

Make = Callable[..., Snapshot]
V = 40


@pytest.fixture
def shop(make_snapshot: Make) -> Snapshot:
    random = np.random.default_rng(6)
    rows = [(int(u), int(i), float(d)) for u, i, d in random.integers(0, [80, V, 40], (2_000, 3))]
    return make_snapshot(rows, n_items=V, as_of_day=40)


@pytest.fixture(params=["time", "leave-one-out", "shuffled"])
def split(request: pytest.FixtureRequest, shop: Snapshot) -> Split:
    if request.param == "time":
        return time_split(shop, test_start=30 * DAY_US, validation_days=8)
    return leave_one_out(shop, order="shuffled" if request.param == "shuffled" else "published")


def arrays_within(thing: Any) -> Iterator[np.ndarray]:
    """Every array that can be reached from an argument: its fields, what was computed of it, and what views look at."""
    if isinstance(thing, np.ndarray):
        yield thing
        yield from arrays_within(thing.base)
    elif isinstance(thing, Histories):
        for value in vars(thing).values():
            yield from arrays_within(value)


def test_nothing_that_a_ranker_is_given_leads_to_what_is_asked(split: Split) -> None:
    """Not by way of an array that is a view of a longer one either."""
    reached: list[np.ndarray] = []

    def cheat(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        reached.extend(arrays_within(histories))
        reached.extend(arrays_within(now_us))
        assert {field.name for field in fields(histories)} >= {"item", "offsets", "occurred_at"}
        return np.tile(np.arange(V, dtype=np.float32), (len(histories), 1))

    evaluate(split.test, {AS_TRAINED: [Scripted("cheat", cheat)]}, seen="include")
    most = max(len(split.test.histories.item), len(split.test) + 1)
    assert reached
    assert all(array.size <= most for array in reached)  # no longer array, in which labels could stand, is behind one
    for array in reached:
        assert not np.shares_memory(array, split.test.relevance.indices)


def test_labels_hidden_or_permuted_change_no_answer(split: Split) -> None:
    """The same questions with other answers: a ranker is told the same, and says the same."""
    told: list[list[tuple[bytes, bytes]]] = []

    def ask(queries: Queries) -> None:
        said: list[tuple[bytes, bytes]] = []
        honest = BASELINES["item-knn"](split.trained)

        def follow(histories: Histories, now_us: np.ndarray) -> np.ndarray:
            scores = honest.scores(histories, now_us)
            said.append((histories.item.tobytes() + now_us.tobytes(), scores.tobytes()))
            return scores

        evaluate(queries, {AS_TRAINED: [Scripted("followed", follow)]}, seen="include")
        told.append(said)

    ask(split.test)
    permuted = split.test.relevance[np.random.default_rng(1).permutation(len(split.test))]
    ask(replace(split.test, relevance=permuted))
    assert told[0] == told[1]


@pytest.mark.parametrize("seen", ["include", "exclude"])
def test_who_has_the_answers_in_the_order_of_the_questions_is_found_out(split: Split, seen: Seen) -> None:
    answers = split.test.under(seen).relevance.toarray()
    at = 0

    def peek(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        nonlocal at
        at += len(histories)
        return np.resize(answers[at - len(histories) : at], (len(histories), V))

    with pytest.raises(BadInputError, match="'peek' answers the same question otherwise") as caught:
        evaluate(split.test, {AS_TRAINED: [Scripted("peek", peek)]}, seen=seen)
    assert caught.value.reason == "ANSWERS_DIFFER"


def test_chance_is_no_ranker(split: Split) -> None:
    random = np.random.default_rng(0)
    lucky = Scripted("lucky", lambda h, now_us: random.random((len(h), V), dtype=np.float32))
    with pytest.raises(BadInputError, match="'lucky'"):
        evaluate(split.test, {AS_TRAINED: [lucky]}, seen="include")


def test_sums_in_another_order_are_no_cheat(split: Split) -> None:
    """A batch of another size differs in the last digits."""

    def trembling(histories: Histories, now_us: np.ndarray) -> np.ndarray:
        scores = BASELINES["item-knn"](split.trained).scores(histories, now_us)
        return scores * np.float32(1 + 1e-6 * len(histories))

    assert evaluate(split.test, {AS_TRAINED: [Scripted("trembling", trembling)]}, seen="include")


@pytest.mark.parametrize("width", [V - 1, V + 1])
def test_scores_of_another_shape_are_refused(split: Split, width: int) -> None:
    wide = Scripted("wide", lambda h, now_us: np.tile(np.arange(width, dtype=np.float32), (len(h), 1)))
    with pytest.raises(BadInputError, match="shape"):
        evaluate(split.test, {AS_TRAINED: [wide]}, seen="include")


def test_a_split_whose_training_events_hold_the_test_is_refused(shop: Snapshot, split: Split) -> None:
    assert replace(split) is not split  # as it is it can be made again
    with pytest.raises(BadInputError, match="hold the answers") as caught:
        replace(split, refreshed=shop)
    assert caught.value.reason == "LEAK"
    with pytest.raises(BadInputError, match="hold the answers"):
        replace(split, trained=split.refreshed)


def test_a_log_that_knows_of_later_times_is_refused(shop: Snapshot) -> None:
    """`until` keeps what comes after, for whoever wants to look at it again; a split must not."""
    split = time_split(shop, test_start=30 * DAY_US, validation_days=8)
    unsealed = shop.until(30 * DAY_US)
    np.testing.assert_array_equal(histories_of(unsealed).item, histories_of(split.refreshed).item)
    with pytest.raises(BadInputError, match="reach beyond 1970-01-31"):
        replace(split, refreshed=unsealed)
