"""What is kept of a user is answered only for as long as it is what a new look would say."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from penchant.v1.common_pb2 import ItemFilter
from penchant.v1.interest_pb2 import RecommendRequest

from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.kinds import EventKind
from graph.storage.seen import seen_items
from graph.storage.times import SECOND_US, now_us
from server import known_users
from server.engine import Engine, Filter
from server.known_users import FEED_S, KEPT_S, Known, KnownUsers
from server.live import read_live_catalog
from server.revision import load_revision
from server.servicers.filters import read_filter
from server.servicers.interest import Asked, answer_together
from server.user_feed import UserFeed

if TYPE_CHECKING:
    from tests.server.conftest import World


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(known_users, "time", clock)
    return clock


@pytest.fixture
def engine(world: "World") -> Iterator[Engine]:
    database = Database(world.url)
    revision = load_revision(Path(world.artifacts) / "m1.1")
    yield Engine(database, revision, read_live_catalog(database, revision.artifact))
    database.close()


@pytest.fixture
def known(clock: Clock) -> KnownUsers:
    known = KnownUsers(most_bytes=1 << 20)
    known.feed_was_read(clock.now)
    return known


def look(known: KnownUsers, engine: Engine, user: str) -> Known:
    return answer_together(known, [Asked(engine, user)])[0]


def test_what_was_looked_at_is_kept_until_something_happens(known: KnownUsers, engine: Engine) -> None:
    assert known.find(engine, "u1") is None
    first, other = look(known, engine, "u1"), look(known, engine, "u2")
    assert known.find(engine, "u1") is first
    known.forget(["u1", "nobody"])
    assert known.find(engine, "u1") is None
    assert known.find(engine, "u2") is other
    known.forget(None)
    assert known.find(engine, "u2") is None


def test_it_ends_with_its_time_and_while_the_feed_is_silent(known: KnownUsers, engine: Engine, clock: Clock) -> None:
    first = look(known, engine, "u1")
    clock.now += FEED_S
    assert known.find(engine, "u1") is None
    assert known.find(engine, "u1", or_stale=True) is first
    known.feed_was_read(clock.now)
    assert known.find(engine, "u1") is first
    clock.now += KEPT_S - FEED_S
    known.feed_was_read(clock.now)
    assert known.find(engine, "u1") is None


@pytest.mark.parametrize("told", [["u1"], None])
def test_an_event_while_the_store_is_read_is_not_missed(
    known: KnownUsers, engine: Engine, told: list[str] | None
) -> None:
    with known.reading() as reading:
        past = engine.past(["u1"])
        known.forget(["u3"])
        known.forget(told)
        for _ in range(1_000):
            known.forget(["u3"])
        known.keep(reading, engine, "u1", (past, engine.known(past)[0]))
        assert known.find(engine, "u1") is None
        known.keep(reading, engine, "u2", (past, engine.known(past)[0]))
        assert (known.find(engine, "u2") is None) == (told is None)
    assert not known._readings  # nothing is noted for nobody


def test_an_event_that_lies_ahead_counts_once_the_clock_has_passed_it(
    known: KnownUsers, engine: Engine, clock: Clock
) -> None:
    """Callers' clocks may be ahead of ours."""
    ahead_us = now_us() + 20 * SECOND_US
    events = [{"user": "u1", "item": "i1", "kind": "view", "occurred_at": ahead_us}]
    append_events(
        engine.database,
        table_of(EVENTS, events),
        source="test",
        recorded_at=now_us(),
        future_tolerance_us=60 * SECOND_US,
    )
    assert look(known, engine, "u1") is known.find(engine, "u1")
    assert look(known, engine, "u2") is known.find(engine, "u2")
    clock.now += 21
    known.feed_was_read(clock.now)
    assert known.find(engine, "u1") is None
    assert known.find(engine, "u2") is not None


def test_what_a_user_has_seen_is_asked_of_the_store_once(
    known: KnownUsers, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def count(*arguments: Any, **named: Any) -> Any:
        asked.append(arguments)
        return seen_items(*arguments, **named)

    monkeypatch.setattr("server.engine.seen_items", count)
    past, _ = look(known, engine, "u1")
    for nothing in (RecommendRequest(), RecommendRequest(filter=ItemFilter())):  # no filter, no copy
        assert engine.allowed(read_filter(nothing)) is engine.live.available
    wanted = Filter(seen="only")
    first = engine.allowed(wanted, past)
    np.testing.assert_array_equal(engine.allowed(wanted, past), first)
    assert first.sum() == len(np.unique(past.histories.item))
    assert len(asked) == 1


def test_another_revision_or_other_kinds_are_another_answer(known: KnownUsers, engine: Engine) -> None:
    first = look(known, engine, "u1")
    counted = replace(engine, revision=replace(engine.revision))  # sales are counted anew every hour
    assert known.find(counted, "u1") is first
    other = replace(engine, revision=replace(engine.revision, artifact=replace(engine.revision.artifact)))
    assert known.find(other, "u1") is None
    kinds = (*engine.live.told_kinds, EventKind(99, "hum", 0.5, 1, None))
    assert known.find(replace(engine, live=replace(engine.live, told_kinds=kinds)), "u1") is None
    reread = replace(engine, live=read_live_catalog(engine.database, engine.revision.artifact))
    assert known.find(reread, "u1") is first


def test_memory_is_bounded_and_who_was_asked_about_longest_ago_goes_first(engine: Engine, clock: Clock) -> None:
    known = KnownUsers(most_bytes=1 << 30)
    known.feed_was_read(clock.now)
    look(known, engine, "u1")
    size = known._bytes
    known = KnownUsers(most_bytes=3 * size + size // 2)
    known.feed_was_read(clock.now)
    for user in ("u1", "u2", "u3"):
        look(known, engine, user)
    known.find(engine, "u1")
    look(known, engine, "u4")
    assert [user for user in ("u1", "u2", "u3", "u4") if known.find(engine, user)] == ["u1", "u3", "u4"]
    assert known._bytes <= 3 * size + size // 2
    none = KnownUsers(most_bytes=0)
    none.feed_was_read(clock.now)
    look(none, engine, "u1")
    assert none.find(engine, "u1") is None


def test_events_of_other_processes_are_heard_of(
    engine: Engine, eventually: Callable[[Callable[[], bool]], Any]
) -> None:
    """Written behind the server's back, as another worker does."""
    known = KnownUsers(most_bytes=1 << 20)
    feed = UserFeed(engine.database, known)
    feed.start()
    try:
        eventually(lambda: look(known, engine, "u1") is known.find(engine, "u1"))
        events = [{"user": "u1", "item": "i1", "kind": "view", "occurred_at": now_us()}]
        append_events(engine.database, table_of(EVENTS, events), source="test", recorded_at=now_us())
        eventually(lambda: known.find(engine, "u1", or_stale=True) is None)
        eventually(lambda: look(known, engine, "u2") is known.find(engine, "u2"))
    finally:
        feed.stop()
