"""What a graph counts of a mirror's rows as of a moment; as of another moment only the differences are counted."""

from dataclasses import dataclass, replace

import numpy as np

from graph.arrays import Bools, Int64s
from graph.build import user_item
from graph.events import Events
from graph.follow_counts import Entries, entries_of
from graph.followed_by import shows_interest
from graph.sparse import Csr
from graph.state.follows import Follows, follows_of, near_changes
from graph.state.mirror import Mirror
from graph.state.rows import grown, with_rows
from graph.storage.times import DAY_US

MANY = 0.75
"""Where the users of so many of all events are concerned, counting all is no slower."""
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


def edges_of(mirror: Mirror, as_of: int, known_at: int, *, max_distance: int, keep_neighbours: int) -> Edges:
    """Counted from the start."""
    moment = Moment(as_of, known_at, len(mirror.retractions))
    events = mirror.log(as_of, known_at).at(as_of)
    interest = shows_interest(mirror.kinds)[events.kind]
    entries = _entries(mirror, events.take(interest) if not interest.all() else events, max_distance)
    return Edges(
        moment,
        as_of,
        max_distance,
        _user_item(mirror, events, as_of, len(mirror.users)),
        follows_of(entries, len(mirror.items), keep_neighbours),
    )


def advanced(edges: Edges, mirror: Mirror, added: Int64s, as_of: int, known_at: int) -> Edges:
    """As of another moment, earlier or later. `added`: places of the rows that the mirror did not have before."""
    events, before = mirror.events, edges.moment
    was = mirror.visible(before.as_of, before.known_at, before.retractions)
    was[added] = False
    shown = mirror.visible(as_of, known_at, len(mirror.retractions))
    changed = was != shown
    users = np.unique(events.user[changed])
    start = np.searchsorted(events.user, users)
    lengths = np.searchsorted(events.user, users, side="right") - start
    if lengths.sum() > MANY * len(events):
        return edges_of(
            mirror,
            as_of,
            known_at,
            max_distance=edges.max_distance,
            keep_neighbours=edges.follows.keep_neighbours,
        )
    own = np.arange(lengths.sum()) + np.repeat(start - np.cumsum(lengths) + lengths, lengths)
    moment = Moment(as_of, known_at, len(mirror.retractions))
    return replace(
        _with_users(edges, mirror, as_of, users.astype(np.int64), own, shown),
        moment=moment,
        follows=_follows(edges, mirror, own, was, shown),
    )


def _with_users(edges: Edges, mirror: Mirror, as_of: int, users: Int64s, own: Int64s, shown: Bools) -> Edges:
    """The edges between users and items, in which the rows of `users` come from their events, at the places `own`."""
    half_lives = [kind.half_life_days for kind in mirror.kinds if kind.half_life_days is not None]
    if abs(as_of - edges.epoch_us) > FAR_HALF_LIVES * DAY_US * min(half_lives, default=np.inf):
        now = mirror.events.take(shown)
        return replace(edges, epoch_us=as_of, user_item=_user_item(mirror, now, as_of, len(mirror.users)))
    theirs = mirror.events.take(own[shown[own]])
    theirs = replace(theirs, user=np.searchsorted(users, theirs.user).astype(np.int32))
    shape = (len(mirror.users), len(mirror.items))
    counted = _user_item(mirror, theirs, edges.epoch_us, len(users))
    kept = zip(edges.user_item, counted, strict=True)
    return replace(
        edges,
        user_item=tuple(with_rows(old, users, new, shape) if len(users) else grown(old, shape) for old, new in kept),
    )


def _follows(edges: Edges, mirror: Mirror, own: Int64s, was: Bools, shown: Bools) -> Follows:
    interest = shows_interest(mirror.kinds)[mirror.events.kind[own]] & (was[own] | shown[own])
    own = own[interest]
    near = near_changes(mirror.events.take(own), was[own] != shown[own], edges.max_distance)
    own = own[near]
    added, removed = (_entries(mirror, mirror.events.take(own[mask[own]]), edges.max_distance) for mask in (shown, was))
    return edges.follows.plus(added, removed, len(mirror.items))


def _entries(mirror: Mirror, events: Events, max_distance: int) -> Entries:
    return entries_of(events.user, events.item, events.occurred_at, events.sequence, mirror.items, max_distance)


def _user_item(mirror: Mirror, events: Events, epoch_us: int, n_users: int) -> tuple[Csr, ...]:
    shape = (n_users, len(mirror.items))
    return tuple(
        user_item(events, index, kind, epoch_us, *shape) if kind.sign else Csr(shape, dtype=np.float64)
        for index, kind in enumerate(mirror.kinds)
    )
