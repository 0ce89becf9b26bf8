"""Arrays in, answers out: one revision, the live catalog and a user's newest events. Knows no protobuf.

user id -> newest events of the store -> Histories of one row -> mixture of the revision -> ranked items
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from graph.histories import Histories, histories_from_arrays
from graph.ids import IdMap
from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError, NotFoundError, StoreUnavailableError
from graph.storage.recent import RecentEvents, recent_events
from graph.storage.seen import seen_items
from graph.storage.times import NEVER_US, now_us
from server.index import Index
from server.limits import MAX_HISTORY_EVENTS
from server.live import LiveCatalog
from server.revision import Revision
from server.watch.stages import staged
from training.calibration import Calibrator
from training.fast.answer import Answer
from training.fast.foretell import foretell
from training.horizon import NEXT_EVENT, Horizon
from training.interest_weights import supported
from training.mixture import Ranking, best_of, ranking_of
from training.mixture_net import strongest_of
from training.profiles import profiles
from training.segments import one_vector

Seen = Literal["include", "exclude", "only"]
Kind = Literal["user", "item", "category"]


@dataclass(frozen=True)
class Filter:
    """Which items may be answered; external ids."""

    categories_in: Sequence[str] = ()
    categories_out: Sequence[str] = ()
    items_out: Sequence[str] = ()
    seen: Seen = "include"
    include_unavailable: bool = False


@dataclass(frozen=True)
class Past:
    """What B `users` did until `as_of_us`, in the revision's index spaces."""

    users: Sequence[str]
    histories: Histories
    is_known: Bools
    """[B]: whether the store has heard of them."""
    as_of_us: int
    next_at_us: Int64s
    """[B]: when an event that is recorded already happens next; clocks differ, and callers' may be ahead of ours."""
    is_stale: bool = False
    """The store is away: more may have happened before `as_of_us`, of unknown users anything."""
    _activity: dict[Horizon, float] = field(default_factory=dict)
    _seen: list[Int32s] = field(default_factory=list)
    """The items that they have seen, once the store was asked."""

    @cached_property
    def own(self) -> Int32s:
        """[h]: the items that one of them had, ascending."""
        return np.unique(self.histories.item)

    def activity(self, calibrator: Calibrator) -> float:
        """Of one of them, as of then."""
        horizon = calibrator.horizon
        if horizon not in self._activity:
            self._activity[horizon] = float(calibrator.activity(self.histories, np.array([self.as_of_us]))[0])
        return self._activity[horizon]

    @property
    def knows_seen(self) -> bool:
        """Whether what they have seen is told without the store."""
        return self.is_stale or bool(self._seen)

    @cached_property
    def events(self) -> list[int]:
        """[B]: how many events of interest an answer is based on; those with items unknown to the revision are not."""
        counts: list[int] = self.histories.lengths.tolist()
        return counts

    def of(self, row: int) -> "Past":
        """That of one of the users."""
        one = slice(row, row + 1)
        return Past(
            self.users[one], self.histories.select([row]), self.is_known[one], self.as_of_us, self.next_at_us[one]
        )


@dataclass(frozen=True)
class Affinities:
    """Categories, best first: index, share of probability on and below each, and share over the population's."""

    category: Int64s
    share: Float64s
    lift: Float64s


NO_FILTER = Filter()

_NO_VECTOR = {
    "item": ("nothing tells what it is like", "Give it a category or features, and refresh."),
    "category": ("nothing is below it", "Give items this category, and refresh."),
}
"""Why, and what to do."""


@dataclass(frozen=True)
class Engine:
    database: Database
    revision: Revision
    live: LiveCatalog = field(repr=False)

    # What a user did --------------------------------------------------------------------------------------------

    @staged("store")
    def past(self, users: Sequence[str], *, as_of_us: int | None = None) -> Past:
        """The newest MAX_HISTORY_EVENTS of users, as of now or as of a time before it; unknown users have none."""
        as_of_us = now_us() if as_of_us is None else as_of_us
        recent = recent_events(self.database, users, limit=MAX_HISTORY_EVENTS, before_us=as_of_us)
        return Past(users, self._histories(recent), recent.is_known, as_of_us, recent.next_at)

    def unread(self, user: str) -> Past:
        """For when the store is away: a user of whom nothing is at hand."""
        nothing = histories_from_arrays([], [], [], n_users=1, n_items=len(self.revision.artifact.items))
        nothing = replace(nothing, meaning=self.live.meaning)
        return Past([user], nothing, np.zeros(1, np.bool_), now_us(), np.array([NEVER_US]), is_stale=True)

    def _histories(self, recent: RecentEvents) -> Histories:
        """Events with items or of kinds that the revision does not know are left out: nothing was learned of those.
        What speaks against an item needs no learning: there the kind may be younger.
        """
        users = np.repeat(np.arange(len(recent.is_known), dtype=np.int32), np.diff(recent.offsets))
        item = self.revision.artifact.items.index_of_surrogate(recent.item_id)
        kind = self.live.kinds(recent.kind_id)
        meaning, value = self.live.meaning, recent.value.astype(np.float32)
        usable = (item >= 0) & (kind >= 0)
        is_against = meaning.side(kind, value) < 0
        sizes = {"n_users": len(recent.is_known), "n_items": len(self.revision.artifact.items)}

        def of(chosen: Bools) -> Histories:
            columns = (users, item, recent.occurred_at, recent.sequence, kind, value)
            found = histories_from_arrays(*(column[chosen] for column in columns), **sizes)
            return replace(found, meaning=meaning)

        history = of(usable & ~is_against & (kind < self.live.learned_kinds))
        against = usable & is_against
        return replace(history, against=of(against)) if against.any() else history

    # Interest ---------------------------------------------------------------------------------------------------

    @staged("model")
    def known(self, past: Past) -> list[Answer]:
        """What matters to each of at most BATCH users."""
        return self.revision.fast.answer(past.histories, np.full(len(past.users), past.as_of_us))

    def calibrator(self, *, within_days: bool, kind: str | None = None) -> Calibrator | None:
        """None for the next event where the model leaves p as it is. ConflictError where it cannot tell."""
        calibration = self.revision.artifact.calibration
        if not within_days:
            return calibration.find(NEXT_EVENT)
        found = calibration.within(kind)
        if found is None:
            raise ConflictError(
                f"Revision {self.revision.version} cannot tell the probability of "
                f"{'an event' if kind is None else f'a {kind}'} within days.",
                hint="Ask for the next event, or train with a time split (`penchant train`) on more users.",
                reason="HORIZON_UNAVAILABLE",
            )
        return found

    def probability(
        self, past: Past, items: NDArray[np.integer[Any]], log_p: Float64s, calibrator: Calibrator | None
    ) -> Float64s:
        """Of items [n] of one user, whose log p(next) is [n]; without a calibrator that is the probability."""
        if calibrator is None:
            return np.exp(log_p)
        return foretell(calibrator, items, past.own, past.activity(calibrator), log_p)

    def best(self, answer: Answer, k: int, allowed: Bools) -> Ranking | None:
        """Of what matters to one user the best k that are `allowed` [V]; None where these are fewer than there are."""
        place = _first_true(allowed, answer.item, k)
        if len(place) < k and np.count_nonzero(allowed) > len(place):
            return None
        return ranking_of(answer.item[place], answer.share[place])

    def rank(self, answer: Answer, k: int, allowed: Bools) -> Ranking:
        """The best k of one user among all that is `allowed` [V]."""
        items, fast = np.flatnonzero(allowed), self.revision.fast
        strongest = items[strongest_of(fast.p(answer, items), k)]
        return best_of(strongest, fast.shares(answer, strongest), k)

    def interests(self, past: Past, k: int) -> Affinities:
        """Categories by share · log lift, so that neither the merely popular nor the merely rare leads."""
        return self._leaning(np.exp(self.revision.mixture.scores(past.histories, np.array([past.as_of_us])))[0], k)

    def _leaning(self, p: Float32s, k: int) -> Affinities:
        share = np.asarray(p @ self.revision.ancestors, np.float64)
        population = self.revision.population_share
        lift = np.divide(share, population, out=np.zeros_like(share), where=population > 0)
        # Rounded, so that what differs from the population by float32's error alone is a tie, which the share decides.
        leaning = np.round(share * np.log(np.maximum(lift, 1e-12)), 6)
        best = np.lexsort((-share, -leaning))[:k]
        best = best[share[best] > 0]
        return Affinities(best, share[best], lift[best])

    def allowed(self, wanted: Filter, past: Past | None = None) -> Bools:
        """[V]: the items that a filter lets through, by the catalog and the history of now."""
        every = self.live.exists if wanted.include_unavailable else self.live.available
        if wanted == NO_FILTER:
            return every
        mask = every.copy()
        if wanted.categories_in:
            mask &= self.live.in_any(wanted.categories_in)
        if wanted.categories_out:
            mask &= ~self.live.in_any(wanted.categories_out)
        if wanted.items_out:
            out = self.revision.artifact.items.index_of(list(wanted.items_out))
            mask[out[out >= 0]] = False
        if wanted.seen != "include":
            if past is None:
                raise BadInputError("Only a user has seen items.", field="filter.seen", reason="SEEN_WITHOUT_USER")
            mask &= self._seen(past) if wanted.seen == "only" else ~self._seen(past)
        return mask

    def _seen(self, past: Past) -> Bools:
        """[V]: asked of the store, once, and not of the history, which has no dislikes and does not go back for ever.

        Where the store is away, what is at hand.
        """
        if not past.knows_seen:
            with suppress(StoreUnavailableError):
                past._seen.extend(self._items_seen_by(user, past.as_of_us) for user in past.users)
        at_hand = [history.item for history in (past.histories, past.histories.against) if history is not None]
        seen = np.zeros(len(self.revision.artifact.items), bool)
        for items in past._seen or at_hand:
            seen[items] = True
        return seen

    def _items_seen_by(self, user: str, before_us: int) -> Int32s:
        index = self.revision.artifact.items.index_of_surrogate(seen_items(self.database, user, before_us=before_us))
        return index[index >= 0]

    # Vectors ----------------------------------------------------------------------------------------------------

    def user_vectors(self, past: Past) -> tuple[Float32s, Float32s]:
        """[B, K, dim] and weights [B, K] that sum to 1; both 0 where there is no such interest."""
        net = self.revision.mixture.net
        return supported(net.users(past.histories), net.vectors, past.histories)

    def named(self, vectors: Float32s, k: int) -> list[Affinities]:
        """Of each interest [K, dim] the k leading categories of what the net by itself expects from it."""
        net = self.revision.mixture.net
        return [self._leaning(net.probabilities(vector[None, None])[0], k) for vector in vectors]

    def ids(self, kind: Kind) -> IdMap:
        artifact = self.revision.artifact
        return {"user": artifact.users, "item": artifact.items, "category": artifact.categories}[kind]

    def exportable(self, kind: Literal["item", "category"]) -> Int64s:
        """Indices of what has a vector, in the order of the external ids' UTF-8 bytes."""
        return self.revision.item_order if kind == "item" else self.revision.category_order

    def has_vector(self, kind: Literal["item", "category"]) -> Bools:
        """By index."""
        return self.revision.items_with_vector if kind == "item" else self.revision.categories_with_vector

    def vectors(self, kind: Literal["item", "category"]) -> Float32s:
        artifact = self.revision.artifact
        return artifact.item_vectors if kind == "item" else artifact.category_vectors

    def vector_of(self, kind: Literal["item", "category"], external: str) -> tuple[int, Float32s]:
        """Index and vector [1, dim]. NotFoundError where the revision has no such thing, or no vector for it."""
        index = int(self.ids(kind).index_of([external])[0])
        if index < 0:
            raise NotFoundError(
                f"Revision {self.revision.version} has no {kind} {external!r}.",
                hint="It may be newer than the revision; `penchant refresh` takes it in.",
                reason=f"UNKNOWN_{kind.upper()}",
            )
        vector = self.vectors(kind)[index : index + 1]
        if not vector.any():
            why, hint = _NO_VECTOR[kind]
            raise NotFoundError(f"The {kind} {external!r} has no vector: {why}.", hint=hint, reason="NO_VECTOR")
        return index, vector

    def similar(
        self, target: Kind, vectors: Float32s, k: int, *, leave_out: int = -1, allowed: Bools | None = None
    ) -> tuple[Int64s, Float32s]:
        """The nearest k of a kind to any of `vectors` [Q, dim]: indices and cosines, best first."""
        index, per_id = self._index(target)
        rows, cosines = index.search(vectors, (k + (leave_out >= 0)) * per_id, allowed)
        found, cosine = rows.ravel() // per_id, cosines.ravel()
        if per_id == len(rows) == 1:  # as they are
            best = (found != leave_out).nonzero()[0][:k]
            return found[best], np.clip(cosine[best], -1, 1)
        order = np.argsort(-cosine, kind="stable")
        _, first = np.unique(found[order], return_index=True)  # an id once, with its best pair
        best = order[np.sort(first)]
        best = best[found[best] != leave_out][:k]
        return found[best], np.clip(cosine[best], -1, 1)

    def _index(self, kind: Kind) -> tuple[Index, int]:
        if kind == "item":
            return self.revision.items, 1
        if kind == "category":
            return self.revision.categories, 1
        return self.revision.users, self.revision.artifact.user_vectors.shape[1]

    # Segments ---------------------------------------------------------------------------------------------------

    def segment_weights(self, past: Past) -> Float32s:
        """How much each user belongs to each segment, [B, S]; zeros for users without events."""
        artifact = self.revision.artifact
        if not artifact.segments.of_profiles:
            return artifact.segments.assign(one_vector(*self.user_vectors(past)))
        return artifact.segments.assign(profiles(artifact.item_vectors, past.histories))


def _first_true(mask: Bools, items: Int32s, k: int) -> Int64s:
    """The first k places of `items` whose mask is set; mostly they are among the first few."""
    place = mask[items[: 2 * k]].nonzero()[0][:k]
    return place if len(place) == k else mask[items].nonzero()[0][:k]
