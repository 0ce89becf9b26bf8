"""What a graph counts of a mirror's rows as of a moment; as of another moment only the differences are counted."""

from dataclasses import dataclass, replace

import numpy as np

from graph.arrays import Bools, Int64s
from graph.build import user_item
from graph.events import Events
from graph.followed_by import interest_entries, shows_interest
from graph.ranges import places
from graph.sparse import Csr
from graph.state.follows import Follows, follows_of, near_changes
from graph.state.mirror import Mirror
from graph.state.rows import plus_entries, with_rows
from graph.storage.times import DAY_US

MANY = 0.2
"""Where so many of all events come or go, counting all is no slower."""
FAR_HALF_LIVES = 100.0
"""An epoch further back than that many half-lives of a kind is moved up: float64 must not overflow."""


@dataclass(frozen=True, eq=False)
class Moment:
    """What was visible: as of and known at (microseconds), and the first so many retractions of the mirror."""

    as_of: int
    known_at: int
    retractions: int


@dataclass(frozen=True, eq=False)
class Edges:
    moment: Moment
    epoch_us: int
    max_distance: int
    user_item: tuple[Csr, ...]  # for each kind float64 [U, I] against the epoch; empty where its sign is 0
    follows: Follows


def edges_of(mirror: Mirror, events: Events, moment: Moment, *, max_distance: int, keep_neighbours: int) -> Edges:
    """Counted from the start: `events` are those that are visible as of `moment`."""
    entries = interest_entries(events, mirror.kinds, mirror.items, max_distance)
    return Edges(
        moment,
        moment.as_of,
        max_distance,
        _user_item(mirror, events, moment.as_of, len(mirror.users)),
        follows_of(entries, len(mirror.items), keep_neighbours),
    )


def advanced(edges: Edges, mirror: Mirror, added: Int64s, as_of: int, known_at: int) -> Edges:
    """As of another moment, earlier or later. `added`: places of the rows that the mirror did not have before."""
    events, before = mirror.events, edges.moment
    was = mirror.visible(before.as_of, before.known_at, before.retractions)
    was[added] = False
    shown = mirror.visible(as_of, known_at, len(mirror.retractions))
    changed = was != shown
    moment = Moment(as_of, known_at, len(mirror.retractions))
    if np.count_nonzero(changed) > MANY * len(events):
        return edges_of(
            mirror,
            events.take(shown),
            moment,
            max_distance=edges.max_distance,
            keep_neighbours=edges.follows.keep_neighbours,
        )
    epoch_us, user_item = _with_changes(edges, mirror, as_of, was, shown)
    return Edges(moment, epoch_us, edges.max_distance, user_item, _follows(edges, mirror, was, shown))


def _with_changes(edges: Edges, mirror: Mirror, as_of: int, was: Bools, shown: Bools) -> tuple[int, tuple[Csr, ...]]:
    """(the epoch, the edges between users and items): what came is added; users who lost something are counted anew."""
    events, epoch_us = mirror.events, edges.epoch_us
    half_lives = [kind.half_life_days for kind in mirror.kinds if kind.half_life_days is not None]
    if abs(as_of - epoch_us) > FAR_HALF_LIVES * DAY_US * min(half_lives, default=np.inf):
        return as_of, _user_item(mirror, events.take(shown), as_of, len(mirror.users))
    shape = (len(mirror.users), len(mirror.items))
    lost = np.unique(events.user[was & ~shown]).astype(np.int64)
    own = _own(events, lost)
    theirs = events.take(own[shown[own]])
    again = _user_item(
        mirror, replace(theirs, user=np.searchsorted(lost, theirs.user).astype(np.int32)), epoch_us, len(lost)
    )
    came = np.flatnonzero(shown & ~was)
    came = came[~np.isin(events.user[came], lost)]
    more = _user_item(mirror, events.take(came), epoch_us, len(mirror.users))

    def changed(kind: int) -> Csr:
        old = edges.user_item[kind]
        return plus_entries(with_rows(old, lost, again[kind], shape) if len(lost) else old, more[kind])

    return epoch_us, tuple(changed(kind) for kind in range(len(mirror.kinds)))


def _own(events: Events, users: Int64s) -> Int64s:
    """Places of all events of `users`."""
    start, end = (np.searchsorted(events.user, users, side) for side in ("left", "right"))
    return places(start, end - start)


def _follows(edges: Edges, mirror: Mirror, was: Bools, shown: Bools) -> Follows:
    events = mirror.events
    own = _own(events, np.unique(events.user[was != shown]))
    own = own[was[own] | shown[own]]
    own = own[shows_interest(events.take(own), mirror.kinds)]
    near = near_changes(
        events.user[own], events.occurred_at[own], events.sequence[own], was[own] != shown[own], edges.max_distance
    )
    own = own[near]
    added, removed = (
        interest_entries(events.take(own[mask[own]]), mirror.kinds, mirror.items, edges.max_distance)
        for mask in (shown, was)
    )
    return edges.follows.plus(added, removed, len(mirror.items))


def _user_item(mirror: Mirror, events: Events, epoch_us: int, n_users: int) -> tuple[Csr, ...]:
    shape = (n_users, len(mirror.items))
    return tuple(
        user_item(events, index, kind, epoch_us, *shape) if kind.sign else Csr(shape, dtype=np.float64)
        for index, kind in enumerate(mirror.kinds)
    )
