"""The learned repeat memory: what is due, what leaks, what a basket counts, how rates shrink."""

from dataclasses import replace

import numpy as np
import pytest

from graph.histories import Histories, histories_from_arrays
from graph.memories.repeats import FEATURES, RepeatWeights, own_items, recall_repeats
from graph.memories.repeats_fit import fit_repeats
from graph.memories.repurchase import RepurchaseRates, repurchase_rates
from graph.storage.times import DAY_US

WEEK = 7 * DAY_US
CUT = 100 * DAY_US


def rhythm(users: int = 80) -> Histories:
    """Every user has item 0 every five days and, once in a life, some item of 1 … 19."""
    random = np.random.default_rng(3)
    user = np.repeat(np.arange(users), 24)
    day = (np.arange(24) * 5 + random.integers(0, 5, (users, 1))).ravel()
    item = np.zeros((users, 24), np.int64)
    item[np.arange(users)[:, None], random.permuted(np.tile(np.arange(24), (users, 1)), axis=1)[:, :4]] = (
        random.integers(1, 20, (users, 4))
    )
    return histories_from_arrays(user, item.ravel(), day * DAY_US, n_users=users, n_items=20)


@pytest.fixture(scope="module")
def weights() -> RepeatWeights:
    found = fit_repeats(rhythm(), CUT, WEEK)
    assert found is not None
    return found


def test_what_has_a_rhythm_comes_before_what_was_had_once(weights: RepeatWeights) -> None:
    shop = rhythm().until(CUT)
    recalled = recall_repeats(shop, np.full(len(shop), CUT), weights, repurchase_rates(shop, CUT, WEEK)).toarray()
    np.testing.assert_allclose(recalled.sum(axis=1), 1, rtol=1e-5)
    assert (recalled.argmax(axis=1) == 0).all()
    own = np.zeros_like(recalled, bool)
    own[shop.row_of, shop.item] = True
    assert (recalled[~own] == 0).all()
    assert (recalled[own] > 0).all()


def test_nothing_at_or_after_the_cut_is_learned_from(weights: RepeatWeights) -> None:
    again = fit_repeats(rhythm().until(CUT), CUT, WEEK)
    assert again is not None
    assert again.bias == weights.bias
    np.testing.assert_array_equal(again.weight, weights.weight)


def test_features_of_a_window_see_nothing_of_it() -> None:
    """Labels drawn by lot: were a feature to see the window, they could be told apart."""
    random = np.random.default_rng(0)
    users, items = 400, 30
    user, item = np.repeat(np.arange(users), 20), random.integers(0, items, users * 20)
    before = random.integers(0, 86, len(user)) * DAY_US
    again = random.random(len(user)) < 0.3
    later = (86 + random.integers(0, 14, len(user))) * DAY_US
    shop = histories_from_arrays(
        np.append(user, user[again]), np.append(item, item[again]), np.append(before, later[again]), n_items=items
    )
    found = fit_repeats(shop, CUT, 14 * DAY_US)
    assert found is not None
    known = shop.until(86 * DAY_US)
    now = np.full(users, 86 * DAY_US)
    row, own, x = own_items(known, now, repurchase_rates(known, 86 * DAY_US, 14 * DAY_US), 14 * DAY_US)
    p = found.probability(x)
    y = np.isin(row * items + own, np.unique(user[again] * items + item[again]))
    assert abs(p.mean() - y.mean()) < 0.12
    assert p[y].mean() - p[~y].mean() < 0.2


def test_too_few_repeats_are_nothing_to_learn_from() -> None:
    assert fit_repeats(rhythm(users=5), CUT, WEEK) is None
    assert fit_repeats(histories_from_arrays([], [], [], n_users=2, n_items=3), CUT, WEEK) is None


def some_weights() -> tuple[RepeatWeights, RepurchaseRates]:
    n = len(FEATURES)
    rates = np.log(np.array([0.1, 0.2, 0.3], np.float32))
    return RepeatWeights(WEEK, -1.0, np.linspace(-0.3, 0.5, n), np.zeros(n), np.ones(n)), RepurchaseRates(rates, rates)


def test_an_item_counts_once_a_basket() -> None:
    weights, rates = some_weights()
    once = histories_from_arrays([0, 0, 0], [0, 1, 2], [DAY_US, DAY_US, 4 * DAY_US], n_items=3)
    twice = histories_from_arrays([0] * 5, [0, 1, 0, 0, 2], [DAY_US] * 4 + [4 * DAY_US], n_items=3)
    now = np.array([9 * DAY_US])
    np.testing.assert_array_equal(
        recall_repeats(once, now, weights, rates).toarray(), recall_repeats(twice, now, weights, rates).toarray()
    )


def test_times_are_in_units_of_the_horizon() -> None:
    weights, rates = some_weights()
    shop = rhythm(3)
    shop = replace(shop, item=shop.item % 3, n_items=3)
    slow = replace(shop, occurred_at=shop.occurred_at * 50)
    now = np.full(3, 130 * DAY_US)
    fast_p = recall_repeats(shop, now, weights, rates).toarray()
    slow_p = recall_repeats(slow, now * 50, replace(weights, horizon_us=WEEK * 50), rates).toarray()
    np.testing.assert_allclose(fast_p, slow_p, rtol=1e-5)


def test_users_do_not_depend_on_each_other_and_nobody_recalls_nothing() -> None:
    weights, rates = some_weights()
    shop = histories_from_arrays([0, 0, 2], [0, 1, 2], [1, 2, 3], n_users=3, n_items=3)
    now = np.full(3, DAY_US)
    together = recall_repeats(shop, now, weights, rates).toarray()
    assert (together[1] == 0).all()
    for row in range(3):
        alone = recall_repeats(shop.select([row]), now[:1], weights, rates).toarray()
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-6)


def test_rates_count_holders_who_came_back_within_the_window() -> None:
    """Of 40 holders of item 0 half have it again in the newest window; an event at `now` is none."""
    user = np.concatenate([np.arange(40), np.arange(20), np.arange(20, 40)])
    day = np.concatenate([np.full(40, 2), np.full(20, 27), np.full(20, 30)])
    shop = histories_from_arrays(user, np.zeros(80), day * DAY_US, n_items=2)
    rates = np.exp(repurchase_rates(shop, 30 * DAY_US, WEEK).log_rate)
    everywhere = 20.5 / 81
    assert rates[0] == pytest.approx((20 + 5 * everywhere) / (80 + 5), rel=1e-5)
    assert rates[1] == pytest.approx(everywhere, rel=1e-5)


def test_an_event_between_two_windows_belongs_to_the_later_one() -> None:
    shop = histories_from_arrays(np.tile(np.arange(40), 2), np.zeros(80), np.repeat([2, 23], 40) * DAY_US, n_items=1)
    rates = np.exp(repurchase_rates(shop, 30 * DAY_US, WEEK).log_rate)
    assert rates[0] == pytest.approx(40.5 / 81, rel=1e-3)


def test_a_rare_item_takes_after_its_category() -> None:
    """Item 2 has one holder; item 0 of its group is always bought again, item 1 never."""
    user = np.concatenate([np.arange(50), np.arange(50), np.arange(50), [0]])
    item = np.repeat([0, 0, 1, 2], [50, 50, 50, 1])
    day = np.repeat([1, 12, 1, 1], [50, 50, 50, 1])
    shop = histories_from_arrays(user, item, day * DAY_US, n_items=3)
    log_rate = repurchase_rates(shop, 14 * DAY_US, WEEK, np.array([4, -1, 4], np.int32)).log_rate
    assert log_rate[2] > log_rate[1] + 0.5
    assert np.isfinite(repurchase_rates(shop, 14 * DAY_US, WEEK, np.full(3, -1, np.int32)).log_rate).all()
