"""What was asked for is in the events: sizes, seasons, the funnel, popularity, bursts, and segments to be found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score

from graph.arrays import Float64s, Int32s
from graph.storage.times import DAY_US
from graph.synth.bursts import BOT_ROWS, BOT_SHARE, CAMPAIGN_SHARE
from graph.synth.options import BLOCK, START_US, Options
from graph.synth.season import HOURS, WEEKDAYS
from graph.synth.segments import OWN_ROOTS
from graph.synth.shop import Shop, make_shop
from graph.synth.visits import BOT, CAMPAIGN, INTEREST, VIRAL, Block, make_block

ASKED = Options(users=1_500, items=1_000, categories=100, events=3 * BLOCK // 2, days=140, segments=6, seed=3)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(ASKED)


@pytest.fixture(scope="module")
def events(shop: Shop) -> Block:
    blocks = [make_block(shop, number) for number in range(shop.n_blocks)]
    assert [len(block) for block in blocks] == [BLOCK, BLOCK // 2]
    columns = ("user", "item", "kind", "value", "session", "occurred_at", "cause")
    return Block(0, *(np.concatenate([getattr(block, column) for block in blocks]) for column in columns))


def top_of(shop: Shop, item: Int32s) -> Int32s:
    tree = shop.catalog.tree
    return tree.root[tree.leaves[shop.catalog.leaf[item]]]


def tops_of_users(shop: Shop, events: Block) -> Float64s:
    """[users, top categories] events of each."""
    counts = np.zeros((ASKED.users, shop.catalog.tree.n_roots))
    np.add.at(counts, (events.user, top_of(shop, events.item)), 1)
    return counts


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(1, 3_000), st.integers(1, 90), st.integers(1, 4), st.integers(0, 99))
def test_any_shop_has_as_many_events_as_asked(users: int, n: int, days: int, segments: int, seed: int) -> None:
    made = make_shop(Options(users=users, items=30, categories=20, events=n, days=days, segments=segments, seed=seed))
    block = make_block(made, 0)
    assert len(block) == n
    assert (block.user >= 0).all()
    assert block.user.max() < users
    assert block.item.max() < 30
    assert (np.diff(block.occurred_at) >= 0).all()
    assert block.occurred_at.min() >= START_US
    assert np.isnan(block.value[block.kind < 2]).all()
    assert (block.value[block.kind >= 2] > 0).all()
    assert np.isin(block.value[block.kind == 3], [1, 2, 3, 4, 5]).all()


def test_a_block_does_not_depend_on_those_before(shop: Shop) -> None:
    again = make_block(make_shop(ASKED), 1)
    made = make_block(shop, 1)
    for column in ("user", "item", "kind", "value", "session", "occurred_at", "cause"):
        assert np.array_equal(getattr(again, column), getattr(made, column), equal_nan=True)


def test_a_look_goes_one_step_after_another(events: Block) -> None:
    order = np.lexsort((events.occurred_at, events.item, events.session))
    kind, session = events.kind[order], events.session[order]
    begins = np.flatnonzero(np.diff(session, prepend=-1))
    assert (kind[begins] == 0).all()
    shares = np.bincount(events.kind) / len(events)
    assert shares[0] > shares[1] > shares[2] > shares[3] > 0.002
    for_one_user = np.unique(np.stack([events.session, events.user]), axis=1)
    assert for_one_user.shape[1] == len(np.unique(events.session))


def test_hours_and_weekdays_follow_the_season(events: Block) -> None:
    hour = (events.occurred_at - START_US) // (DAY_US // 24)
    ordinary = ~np.isin(events.cause, [CAMPAIGN, VIRAL, BOT])
    by_hour = np.bincount(hour[ordinary] % 24, minlength=24) / ordinary.sum()
    assert np.abs(by_hour - HOURS / HOURS.sum()).max() < 0.01  # visits run on into the next hour
    weekday = (hour[ordinary] // 24 + 2) % 7  # 2020-01-01 was a Wednesday
    by_weekday = np.bincount(weekday, minlength=7) / ordinary.sum()
    assert np.abs(by_weekday - WEEKDAYS / WEEKDAYS.sum()).max() < 0.012  # campaigns and the year pull a little


def test_popularity_has_a_head_and_a_long_tail(shop: Shop, events: Block) -> None:
    shopped = events.item[~np.isin(events.cause, [VIRAL, BOT])]
    counts = np.sort(np.bincount(shopped, minlength=ASKED.items))[::-1]
    rank = np.arange(1, ASKED.items + 1)
    middle = slice(9, 500)
    slope = np.polyfit(np.log(rank[middle]), np.log(np.maximum(counts[middle], 1)), 1)[0]
    assert -1.5 < slope < -0.7  # Zipf's law says -1
    assert counts[:10].sum() > 0.08 * counts.sum()
    # Within a shelf the planted rank is the popularity.
    first = np.bincount(shopped, minlength=ASKED.items)[shop.catalog.rank == 0].mean()
    fifth = np.bincount(shopped, minlength=ASKED.items)[shop.catalog.rank == 4].mean()
    assert first > 2 * fifth


def test_segments_can_be_told_apart(shop: Shop, events: Block) -> None:
    counts = tops_of_users(shop, events)
    known = (shop.people.segment >= 0) & (counts.sum(axis=1) >= 20)
    assert known.mean() > 0.95
    shares = np.sqrt(counts[known] / counts[known].sum(axis=1, keepdims=True))
    found = KMeans(ASKED.segments, n_init=5, random_state=0).fit_predict(shares)
    assert adjusted_rand_score(shop.people.segment[known], found) > 0.9


def test_a_segment_likes_what_it_was_planted_to_like(shop: Shop, events: Block) -> None:
    counts = tops_of_users(shop, events)
    for segment in range(ASKED.segments):
        liked = np.argsort(counts[shop.people.segment == segment].sum(axis=0))[::-1][:OWN_ROOTS]
        planted = np.argsort(shop.segments.preference[segment])[::-1][:OWN_ROOTS]
        assert set(liked.tolist()) == set(planted.tolist())


def test_interests_drift_as_the_truth_says(shop: Shop, events: Block) -> None:
    people = shop.people
    mine = (events.cause == INTEREST) & (events.kind == 0)
    user, leaf = events.user[mine], shop.catalog.leaf[events.item[mine]]
    late = events.occurred_at[mine] > START_US + ASKED.days * DAY_US * 3 // 4
    early = events.occurred_at[mine] < START_US + ASKED.days * DAY_US // 4
    distinct = (people.interest[:, :1] != people.interest[:, 1:]).all(axis=1)
    strongest = leaf == people.interest[user, 0]
    for drifts in (False, True):
        among = (people.drifts == drifts)[user] & distinct[user]
        change = strongest[among & late].mean() - strongest[among & early].mean()
        assert (change < -0.2) if drifts else (abs(change) < 0.05)


def test_campaigns_items_gone_viral_and_bots_are_where_they_were_planted(shop: Shop, events: Block) -> None:
    for campaign in shop.bursts.campaigns:
        since, until = campaign.window_us
        hit = (events.cause == CAMPAIGN) & (shop.catalog.leaf[events.item] == campaign.leaf)
        during = (events.occurred_at >= since) & (events.occurred_at < until)
        share = (hit & during).sum() / (during & ~np.isin(events.cause, [VIRAL, BOT])).sum()
        assert abs(share - CAMPAIGN_SHARE) < 0.05
    assert set(events.item[events.cause == VIRAL].tolist()) == {viral.item for viral in shop.bursts.virals}
    bots = np.flatnonzero(shop.people.segment == -1)
    assert np.isin(events.user, bots).tolist() == (events.cause == BOT).tolist()
    assert abs((events.cause == BOT).mean() - BOT_SHARE) < 0.003
    per_visit = np.unique(events.session[events.cause == BOT], return_counts=True)[1]
    assert (per_visit == BOT_ROWS).all()


def test_who_repeats_buys_the_same_again(shop: Shop, events: Block) -> None:
    bought = events.kind == 2
    repeats = shop.segments.repeat[shop.people.segment[events.user[bought]]] > 0
    share = {}
    for kind in (False, True):
        pairs = np.stack([events.user[bought][repeats == kind], events.item[bought][repeats == kind]])
        share[kind] = 1 - np.unique(pairs, axis=1).shape[1] / pairs.shape[1]
    assert share[True] > 1.3 * share[False]
