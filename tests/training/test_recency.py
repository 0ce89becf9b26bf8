"""The newest events count by themselves: as far as was planted, in one distribution, the same however it is asked."""

from dataclasses import replace

import numpy as np
import pytest

from graph.events import EventLog
from graph.histories import histories_from_arrays, histories_of
from graph.snapshot import Snapshot
from graph.storage.times import DAY_US
from training.evaluation.protocols import Split
from training.mixture import Mixture
from training.recency import ALIKE, LEAST, NEWEST, Recency, read_recency, unlike
from training.recency_fit import ENOUGH, fit_recency, next_steps
from training.train import Learned

from .conftest import GROUPS, ITEMS


@pytest.fixture(scope="module")
def mixture(learned: Learned) -> Mixture:
    return learned.mixture.with_recency(Recency(top=0.6, half_life_days=2.0))


def test_the_share_halves_and_needs_a_history(mixture: Mixture, split: Split) -> None:
    asked, recency, likeness = split.validation.histories.select(np.arange(20)), mixture.recency, mixture.net.likeness
    newest = asked.occurred_at[asked.offsets[1:] - 1]
    assert (asked.lengths > NEWEST).all()
    full = 0.6 * unlike(asked, likeness)
    for days, share in ((0, full), (2, full / 2), (4, full / 4), (40, 0 * full)):
        np.testing.assert_allclose(recency(asked, newest + days * DAY_US, likeness), share * (share >= LEAST))
    assert recency(asked.last(NEWEST), newest, likeness).tolist() == [0] * 20
    assert ALIKE(asked, newest, likeness).tolist() == [0] * 20


def test_a_turn_is_unlike_what_was_before(mixture: Mixture) -> None:
    """Ten events of one group, then five: of the same, mixed, of another."""
    random, found = np.random.default_rng(0), []
    for groups in ([0] * 5, [0, 1, 0, 1, 0], [1] * 5):
        items = random.integers(ITEMS // GROUPS, size=15) * GROUPS + np.array([0] * 10 + groups)
        history = histories_from_arrays([0] * 15, items, np.arange(15), n_users=1, n_items=ITEMS)
        found.append(float(unlike(history, mixture.net.likeness)[0]))
    assert found == sorted(found)
    assert found[0] < 0.3
    assert found[2] > 0.8


def test_dense_scores_and_contributions_agree(mixture: Mixture, split: Split) -> None:
    history = split.validation.histories.select([3])
    now = int(history.occurred_at[-1]) + DAY_US
    p = np.exp(mixture.scores(history, np.array([now]))[0].astype(np.float64))
    assert p.sum() == pytest.approx(1, rel=1e-4)
    whole, _ = mixture.ordered(history, np.array([now]))
    newest, _ = mixture.ordered(history.last(NEWEST), np.array([now]), personal=True)
    share = mixture.recency(history, np.array([now]), mixture.net.likeness)[0]
    np.testing.assert_allclose(p, (1 - share) * whole[0] + share * newest[0], rtol=1e-3)
    np.testing.assert_allclose(mixture.explain(history, now, np.arange(ITEMS)).sum(axis=1), p, rtol=1e-3)


def turned(shop: Snapshot, seed: int = 0) -> tuple[Snapshot, Snapshot]:
    """What came before day 100, and within a day after it everybody in another group than before."""
    random, events = np.random.default_rng(seed), shop.events
    later = events.occurred_at >= 100 * DAY_US
    group = (events.user % GROUPS + 1 + events.user // GROUPS % (GROUPS - 1)) % GROUPS
    item = np.where(later, random.integers(ITEMS // GROUPS, size=len(events)) * GROUPS + group, events.item)
    soon = np.where(later, 100 * DAY_US + (events.occurred_at - 100 * DAY_US) // 20, events.occurred_at)
    events = replace(events, item=item.astype(np.int32), occurred_at=soon)
    whole = replace(shop, log=EventLog(events, shop.log.withdrawn_at))
    return whole.until(100 * DAY_US), whole


def test_next_steps_are_asked_with_all_that_came_before(shop: Snapshot) -> None:
    before, whole = turned(shop)
    asked, all_of = next_steps(histories_of(before), whole, 1_000), histories_of(whole)
    assert 50 < len(asked) < len(shop.users)
    assert (asked.now_us >= 100 * DAY_US).all()
    for row, user in enumerate(asked.users.tolist()):
        own = all_of.select([user])
        then = own.occurred_at == asked.now_us[row]
        part = slice(asked.histories.offsets[row], asked.histories.offsets[row + 1])
        assert asked.histories.item[part].tolist() == own.item[own.occurred_at < asked.now_us[row]].tolist()
        assert set(asked.relevance[[row]].indices.tolist()) == set(own.item[then].tolist())


def test_a_turn_is_followed_and_steady_tastes_are_not(
    learned: Learned, shop: Snapshot, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = learned.mixture
    before, whole = turned(shop)
    assert fit_recency(mixture, before, whole, exclude_seen=False) == ALIKE  # too few users to learn from
    assert len(shop.users) < ENOUGH
    monkeypatch.setattr("training.recency_fit.ENOUGH", 50)
    monkeypatch.setattr("training.recency_fit.BEYOND_DOUBT", 1.5)  # 115 users are few: their gain is 1.8 errors
    assert fit_recency(mixture, before, whole, exclude_seen=False).top >= 0.4
    assert fit_recency(mixture, split.trained, split.refreshed, exclude_seen=False).top <= 0.25


def test_settings_are_read_as_written() -> None:
    recency = Recency(0.4, 7.0)
    assert read_recency(recency.settings()) == recency
    assert read_recency(None) == ALIKE
    for broken in ({}, {"top": 2, "half_life_days": 1}, {"top": 0.5, "half_life_days": 0}, {"top": "x"}, 3):
        with pytest.raises((KeyError, TypeError, ValueError)):
            read_recency(broken)
