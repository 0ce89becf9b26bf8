"""What an event says: sign, weight, points beside the middle, half-life."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from graph.build import build_graph
from graph.events import EventLog
from graph.followed_by import followed_by
from graph.histories import histories_from_arrays, histories_of
from graph.meaning import Meaning
from graph.memories.ease_factors import interests
from graph.memories.own_frequency import own_frequency
from graph.memories.recall import history_weights
from graph.snapshot import Snapshot
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US

KINDS = (
    EventKind(1, "view", 0.2, 1, 10.0),
    EventKind(2, "purchase", 1.0, 1, None),
    EventKind(3, "dislike", 1.0, -1, 20.0),
    EventKind(4, "rating", 0.5, 1, None, middle=3.0),
    EventKind(5, "shown", 1.0, 0, None),
)
VIEW, PURCHASE, DISLIKE, RATING, SHOWN = range(5)
NONE = np.nan


@pytest.mark.parametrize(
    ("kind", "value", "side", "strength"),
    [
        (VIEW, NONE, 1, 0.2),
        (PURCHASE, 9.99, 1, 1.0),  # a price says nothing of liking
        (DISLIKE, NONE, -1, 1.0),
        (RATING, 5.0, 1, 1.0),
        (RATING, 4.0, 1, 0.5),
        (RATING, 3.0, 0, 0.0),
        (RATING, 2.5, -1, 0.25),
        (RATING, 1.0, -1, 1.0),
        (RATING, NONE, 1, 0.5),
        (SHOWN, NONE, 0, 0.0),
    ],
)
def test_side_and_strength(kind: int, value: float, side: int, strength: float) -> None:
    meaning, kinds, values = Meaning.of(KINDS), np.array([kind]), np.array([value], np.float32)
    assert meaning.side(kinds, values).tolist() == [side]
    assert meaning.strength(kinds, values).tolist() == [strength]


def test_half_of_it_is_left_after_each_half_life() -> None:
    meaning, values = Meaning.of(KINDS), np.full(4, NONE, np.float32)
    ages = np.array([0, 10, 20, -5]) * DAY_US
    view, purchase = (meaning.strength_after(np.full(4, kind), values, ages) for kind in (VIEW, PURCHASE))
    np.testing.assert_allclose(view, [0.2, 0.1, 0.05, 0.2])
    np.testing.assert_allclose(purchase, 1)


@pytest.fixture
def rated(make_snapshot: Callable[..., Snapshot]) -> Snapshot:
    """User 0 buys 0, rates 1 with 5, 2 with 1 and 3 with 3, and dislikes 4; user 1 rates 0 with 2."""
    rows = [(0, 0, PURCHASE, 1, -1), (0, 4, DISLIKE, 5, -1), (1, 0, RATING, 1, -1)]
    rows += [(0, item, RATING, item + 1, -1) for item in (1, 2, 3)]
    snapshot = make_snapshot(rows, kinds=KINDS)
    stars = {(0, 1): 5.0, (0, 2): 1.0, (0, 3): 3.0, (1, 0): 2.0}
    events = snapshot.events
    value = [stars.get(pair, NONE) for pair in zip(events.user.tolist(), events.item.tolist(), strict=True)]
    log = EventLog(replace(events, value=np.array(value, np.float32)), snapshot.log.withdrawn_at)
    return replace(snapshot, log=log)


def test_what_speaks_against_an_item_is_no_history_but_kept_beside_it(rated: Snapshot) -> None:
    histories = histories_of(rated)
    assert histories.item.tolist() == [0, 1, 3]
    assert histories.lengths.tolist() == [3, 0, 0]
    against = histories.against
    assert against is not None
    assert (against.item.tolist(), against.lengths.tolist()) == ([2, 4, 0], [2, 1, 0])
    np.testing.assert_allclose(histories.weights(100 * DAY_US), [1, 1, 0])
    np.testing.assert_allclose(against.weights(25 * DAY_US), [1, 0.5, 0.5])


def test_both_sides_are_chosen_and_cut_together(rated: Snapshot) -> None:
    chosen = histories_of(rated).select([1, 0, 1])
    assert chosen.against is not None
    assert chosen.against.lengths.tolist() == [1, 2, 1]
    earlier = chosen.until(4 * DAY_US)
    assert earlier.against is not None
    assert (earlier.item.tolist(), earlier.against.item.tolist()) == ([0, 1], [0, 2, 0])
    assert chosen.last(1).against is not None


def test_the_graph_has_edges_of_what_speaks_as_its_kind_does(rated: Snapshot) -> None:
    graph = build_graph(rated)
    rating, dislike = graph["user", "rating", "item"], graph["user", "dislike", "item"]
    assert rating.edge_index.tolist() == [[0], [1]]
    assert rating.edge_weight.tolist() == [1.0]
    assert (rating.sign, dislike.sign, graph["item", "rev_dislike", "user"].sign) == (1, -1, -1)
    follows = followed_by(rated, max_distance=8, keep_neighbours=8).tocoo()
    assert set(zip(follows.row.tolist(), follows.col.tolist(), strict=True)) == {(0, 1)}


def test_memories_hear_events_as_loud_as_they_say() -> None:
    """A view fades, a purchase does not; a rating at the middle is heard by nobody."""
    day = np.array([90, 90, 100, 100])
    kinds, values = [VIEW, PURCHASE, VIEW, RATING], [NONE, NONE, NONE, 3.0]
    own = histories_from_arrays([0, 0, 0, 0], [0, 1, 2, 3], day * DAY_US, kind=kinds, value=values)
    own, now = replace(own, meaning=Meaning.of(KINDS)), np.array([100 * DAY_US])
    expected = np.array([[0.1, 1, 0.2, 0]])
    np.testing.assert_allclose(own_frequency(own, now, half_life_days=None).toarray(), expected / expected.sum())
    np.testing.assert_allclose(history_weights(own, now_us=now).toarray(), expected, rtol=1e-6)
    np.testing.assert_allclose(interests(own, now, np.inf).toarray(), expected / (expected + 1), rtol=1e-6)
    later = own_frequency(own, now + 100 * DAY_US, half_life_days=None).toarray()[0]
    assert later[1] > 0.99


def test_an_item_met_several_times_counts_where_that_is_most() -> None:
    own = histories_from_arrays([0, 0, 0], [0, 1, 0], [1, 2, 3], kind=[PURCHASE, PURCHASE, VIEW])
    own = replace(own, meaning=Meaning.of(KINDS))
    weights = history_weights(own, decay=0.5, now_us=np.array([3])).toarray()
    np.testing.assert_allclose(weights, [[0.5, 1]])  # 0: a purchase two steps back (0.25) against a view now (0.2)


def test_what_is_very_old_is_still_heard_where_there_is_nothing_else() -> None:
    own = replace(histories_from_arrays([0], [0], [0], kind=[VIEW]), meaning=Meaning.of(KINDS))
    assert history_weights(own, now_us=np.array([5_000 * DAY_US])).toarray().tolist() == [[1]]
