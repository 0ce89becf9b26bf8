"""The split by item: nothing of a held-out item can be learned, and chance alone orders what is level."""

import numpy as np
import pytest

from graph.arrays import Float32s, Int64s
from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from training.evaluation.cold_items import Part, Untied, category_frequencies, cold_items, trained_on
from training.evaluation.evaluate import evaluate

PARTS: tuple[Part, ...] = ("validation", "test")


@pytest.mark.parametrize("part", PARTS)
def test_no_event_of_a_held_out_item_is_left(shop: Snapshot, part: Part) -> None:
    cold = cold_items(shop, part=part)
    held_out = np.flatnonzero(cold.asked.catalog)
    assert len(held_out) == cold.settings["held_out"] == 12  # 15 % of 80
    assert not np.isin(cold.known.events.item, held_out).any()
    assert not np.isin(cold.known.log.events.item, held_out).any()
    assert not np.isin(cold.asked.histories.item, held_out).any()
    assert np.isin(cold.asked.relevance.indices, held_out).all()
    split = trained_on(cold.known)
    for snapshot in (split.trained, split.refreshed):
        assert not np.isin(snapshot.log.events.item, held_out).any()


def test_what_is_chosen_on_validation_has_not_seen_the_test(shop: Snapshot) -> None:
    validation, test = (cold_items(shop, part=part) for part in PARTS)
    assert not (validation.asked.catalog & test.asked.catalog).any()
    items = np.flatnonzero(test.asked.catalog)
    assert not np.isin(validation.known.events.item, items).any()
    assert not np.isin(validation.asked.histories.item, items).any()


def test_each_user_is_asked_for_the_last_held_out_item_after_what_came_before(shop: Snapshot) -> None:
    cold = cold_items(shop)
    histories = histories_of(shop)
    for row, user in enumerate(cold.asked.users.tolist()):
        whole = histories.item[histories.offsets[user] : histories.offsets[user + 1]]
        place = np.flatnonzero(cold.asked.catalog[whole])[-1]
        before = whole[:place]
        assert cold.asked.relevance.indices[row] == whole[place]
        given = cold.asked.histories.select([row]).item
        assert sorted(given.tolist()) == sorted(before[~cold.asked.catalog[before]].tolist())


def test_a_share_that_leaves_nothing_to_learn_is_refused(shop: Snapshot) -> None:
    with pytest.raises(BadInputError, match="cannot be held out"):
        cold_items(shop, share=0.5)


def test_category_frequency_counts_the_users_categories(shop: Snapshot) -> None:
    """Each user's group is by far the commonest in the history, and one of four of the candidates is of it."""
    cold = cold_items(shop)
    plain, by_rarity = category_frequencies(cold.known)
    scores = plain.scores(cold.asked.histories, cold.asked.now_us)
    own = cold.asked.histories
    for row in range(3):
        groups = np.bincount(own.select([row]).item % 4, minlength=4)
        assert scores[row].tolist() == [len(own.select([row]).item) + groups[item % 4] for item in range(80)]
    assert by_rarity.scores(own, cold.asked.now_us).argmax(axis=1) % 4 == pytest.approx(scores.argmax(axis=1) % 4)


class Level:
    name = "level"

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        return np.full((len(histories), histories.n_items), -3, np.float32)


def test_level_items_come_in_another_order_for_each_user(shop: Snapshot) -> None:
    cold = cold_items(shop)
    untied = Untied(Level(), cold.asked.catalog)
    scores = untied.scores(cold.asked.histories, cold.asked.now_us)
    assert (scores == untied.scores(cold.asked.histories, cold.asked.now_us)).all()
    order = np.argsort(scores[:, cold.asked.catalog], axis=1)
    assert len(np.unique(order, axis=0)) > 0.9 * len(cold.asked)
    tied, chance = evaluate(cold.asked, {"": [Level(), untied]}, seen="include")
    assert tied.means["ndcg@10"] == 0
    expected = (1 / np.log2(np.arange(2, 12))).sum() / 12
    assert chance.means["ndcg@10"] == pytest.approx(expected, abs=0.1)
