"""From histories to what is answered: looks, the net in one batch, the loops, the ranker in one batch."""

import queue
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Bools, Float32s, Float64s, Int32s, Int64s, UInt64s
from graph.histories import Histories, histories_from_arrays, joined
from graph.memories.incidence import users_by_items
from graph.memories.recall import history_weights
from graph.ranges import offsets_of
from training.aversion import Dislikes, left_of, mass_left, who_dislikes
from training.fast.cells import WHOLE, Cells, cells_of
from training.fast.look import Looks, Scratch, Seen, look, scratch_for, tilt
from training.fast.say import Others, say
from training.fast.tables import Tables, pace_at, tables_of
from training.fast.told import Items, Named, Told, note, tell
from training.memories import ItemToItem, Memory
from training.mixture import Mixture, best_first
from training.ranker_features import HAD, LAST_EVENTS, NEW, in_last_step
from training.recency import NEWEST

CANDIDATES = WHOLE
"""Of one user at most: room for the strongest of two looks, and a history of 2,000 events."""
STRONGEST = 400
"""Items of the net, and of memories and popularity together, that become candidates, beside those of the history."""
BATCH = 32
"""Users at once."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Of one user: C candidates, the most probable first, `item` [C], what each source adds to p of each, `share`
    [C, S], and what tells of all other items: `told` soon, `others` source by source. Worth keeping for as long as
    nothing new is known of the user."""

    item: Int32s
    share: Float32s
    others: Others
    told: Told
    averse: "_Averse | None" = None

    @property
    def p(self) -> Float32s:
        """[C]"""
        total: Float32s = self.share.sum(axis=1)
        return total

    @property
    def nbytes(self) -> int:
        """About what it takes to keep it."""
        told, others = self.told, self.others
        parts: tuple[NDArray[Any], ...] = (
            self.item,
            told.bits,
            told.before,
            told.value,
            *others.spoken_item,
            *others.spoken_weight,
        )
        return self.share.nbytes * (1 if self.averse is None else 2) + sum(part.nbytes for part in parts)


class _Averse(NamedTuple):
    """Of one user with dislikes: candidates, what was said of them before these were seen, and what p is divided by."""

    item: Int32s
    said: Float32s
    dislikes: Dislikes
    mass_left: float


@dataclass
class _Room:
    """Memory for one batch of at most BATCH users."""

    seen: Seen
    scratch: Scratch
    share: Float32s
    named: Named = field(
        default_factory=lambda: Named(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    )

    def named_of(self, looks: int, most: int) -> Named:
        """Room for what is named in so many looks, at most so many items."""
        if most > len(self.named.item):
            self.named = Named(self.named.offsets, np.empty(2 * most, np.int32), np.empty(2 * most, np.float32))
        return self.named._replace(offsets=np.zeros(looks + 1, np.int64))


@dataclass(frozen=True, eq=False)
class FastMixture:
    """Threads may share it: each batch works in a room of its own."""

    mixture: Mixture
    cells: Cells
    tables: Tables
    capacity: int = CANDIDATES
    strongest: int = STRONGEST
    _rooms: "queue.SimpleQueue[_Room]" = field(default_factory=queue.SimpleQueue)
    _marks: "queue.SimpleQueue[tuple[Int32s, UInt64s]]" = field(default_factory=queue.SimpleQueue)
    """[V] and [V / 64], the latter 0 everywhere."""

    @classmethod
    def of(
        cls,
        mixture: Mixture,
        now_us: int,
        cells: Cells | None = None,
        *,
        capacity: int = CANDIDATES,
        strongest: int = STRONGEST,
    ) -> "FastMixture":
        """`now_us`: the moment as of which items' sales are counted; `cells`: the net's, where they are known."""
        net = mixture.net
        cells = cells or cells_of(net.vectors, net.prior, net.temperature, few=capacity)
        fast = cls(mixture, cells, tables_of(mixture, cells, now_us), capacity, strongest)
        # Loops are compiled at their first call, and nobody who asks should have to wait for it.
        for say_of in (fast.p, fast.shares):
            say_of(fast.nobody, np.zeros(0, np.int32))
        return fast

    @cached_property
    def nobody(self) -> Answer:
        """What is answered of who did nothing, at any time."""
        nothing = histories_from_arrays([], [], [], n_users=1, n_items=len(self.tables.popularity))
        return self.answer(nothing, np.zeros(1, np.int64))[0]

    def as_of(self, now_us: int) -> "FastMixture":
        """The same, with the items' sales counted as of another moment."""
        later = replace(self, tables=self.tables._replace(pace=pace_at(self.mixture, now_us)))
        later.nobody  # noqa: B018  # for whom nobody has to wait then
        return later

    def answer(self, histories: Histories, now_us: Int64s) -> list[Answer]:
        """What matters to each of B users, at most BATCH."""
        part, of_user, looked = self._looked_at(histories, now_us)
        looks = self._looks(looked, now_us[np.repeat(np.arange(len(histories)), np.diff(of_user))], of_user)
        room = self._take_room()
        try:
            seen, rest = _of(room.seen, len(histories), len(looked)), np.empty(len(looked), np.float32)
            named = room.named_of(len(looked), self._most_named(looks))
            look(self.tables, looks, seen, named, room.scratch, self.strongest)
            tilt(looks, seen, self._log_factors(seen), part, room.share, rest)
            told = self._told(named, of_user, rest, seen, room.share)
            answers = [
                _ordered(seen.item[b, :n], room.share[b, :n], _others(looks, seen, rest, b), told[b])
                for b, n in enumerate(seen.n.tolist())
            ]
        finally:
            self._rooms.put(room)
        for b, dislikes in who_dislikes(histories, now_us):
            answers[b] = self._averted(answers[b], dislikes)
        return answers

    def p(self, answer: Answer, items: NDArray[np.integer[Any]]) -> Float64s:
        """p of any `items` [n] to the user of an answer: [n]. Raises IndexError for an item that there is not."""
        wanted = self._checked(items)
        others, out = answer.others, np.empty(len(wanted))
        tell(self._items, answer.told, others.vectors, others.log_z, others.weights, wanted, out)
        averse = answer.averse
        return out if averse is None else out * self._left(averse.dislikes, wanted) / averse.mass_left

    def shares(self, answer: Answer, items: NDArray[np.integer[Any]]) -> Float32s:
        """What each source adds to p of any `items` [n] to the user of an answer: [n, S].

        Takes several times as long as `p`. Raises IndexError for an item that there is not.
        """
        wanted, averse = self._checked(items), answer.averse
        if averse is None:
            return self._said(answer.others, answer.item, answer.share, wanted)
        said = self._said(answer.others, averse.item, averse.said, wanted)
        return said * (self._left(averse.dislikes, wanted) / averse.mass_left).astype(np.float32)[:, None]

    def _checked(self, items: NDArray[np.integer[Any]]) -> Int32s:
        """Compiled loops do not look."""
        n_items = len(self.tables.popularity)
        if len(items) and not 0 <= items.min() <= items.max() < n_items:
            raise IndexError(f"items are 0 to {n_items - 1}")
        return items.astype(np.int32, copy=False)

    @cached_property
    def _items(self) -> Items:
        t = self.tables
        return Items(t.cell_place, t.vectors, t.prior, t.temperature, t.popularity)

    def _most_named(self, looks: Looks) -> int:
        """As many items as the memories' rows hold."""
        most = 0
        for items, through, indptr in zip(looks.spoken_item, looks.through, self.tables.memory_indptr, strict=True):
            most += int((indptr[items + 1] - indptr[items]).sum()) if through else len(items)
        return min(most, len(looks.length) * len(self.tables.popularity))

    def _told(self, named: Named, of_user: Int64s, rest: Float32s, seen: Seen, share: Float32s) -> list[Told]:
        """Of each of B users; copies."""
        users, words = len(seen.n), len(self.tables.popularity) // 64 + 1
        bits, before = np.empty((users, words), np.uint64), np.empty((users, words), np.int32)
        value = np.empty(named.offsets[-1] + seen.n.sum(), np.float32)
        ends = np.empty(users, np.int64)
        note(named, of_user, rest, seen.item, share, seen.n, bits, before, value, ends)
        values = np.split(value, ends)
        return [Told(bits[b].copy(), before[b].copy(), values[b].copy()) for b in range(users)]

    def _said(self, others: Others, candidates: Int32s, share: Float32s, items: Int32s) -> Float32s:
        out = np.zeros((len(items), share.shape[1]), np.float32)
        try:
            marks = self._marks.get_nowait()
        except queue.Empty:
            n_items = len(self.tables.popularity)
            marks = np.empty(n_items, np.int32), np.zeros(n_items // 64 + 1, np.uint64)
        try:
            say(self.tables, others, self._through, candidates, share, items, *marks, out)
        finally:
            self._marks.put(marks)
        return out

    def _averted(self, answer: Answer, dislikes: Dislikes) -> Answer:
        """Once what is disliked has fallen."""
        left = self._left(dislikes, answer.item)
        elsewhere = max(1 - float(answer.p.sum(dtype=np.float64)), 0.0)
        averse = _Averse(answer.item, answer.share, dislikes, mass_left(answer.p, left, elsewhere))
        share = answer.share * (left / averse.mass_left).astype(np.float32)[:, None]
        return _ordered(answer.item, share, answer.others, answer.told, averse)

    def _left(self, dislikes: Dislikes, items: Int32s) -> Float64s:
        """e^(-push) of items in any order, [n]."""
        ascending, place = np.unique(items, return_inverse=True)
        left = left_of(dislikes, self.mixture.net.likeness, self.mixture.near, ascending.astype(np.int64))
        return left[place]

    def _take_room(self) -> _Room:
        try:
            return self._rooms.get_nowait()
        except queue.Empty:
            seen = self._nothing_seen(BATCH, 2 * BATCH)
            share = np.empty((*seen.item.shape, seen.weights.shape[1]), np.float32)
            return _Room(seen, scratch_for(self.tables, len(self.cells.center)), share)

    def _looked_at(self, histories: Histories, now_us: Int64s) -> tuple[Float32s, Int64s, Histories]:
        """How much of p each look is [L], which looks are whose [B + 1], and the histories that are looked at."""
        share = self.mixture.recency(histories, now_us, self.mixture.net.likeness).astype(np.float32)
        twice = np.flatnonzero(share)
        whole = replace(histories, against=None)
        of_user = offsets_of(1 + (share > 0))
        if not len(twice):
            return np.ones(len(histories), np.float32), of_user, whole
        both = joined(whole, whole.select(twice).last(NEWEST))
        order = np.argsort(np.concatenate([np.arange(len(histories)), twice]), kind="stable")
        part = np.concatenate([1 - share, share[twice]])[order]
        return part, of_user, both.select(order)

    @cached_property
    def _through(self) -> Bools:
        return np.array([isinstance(memory, ItemToItem) for memory in self.mixture.memories], np.bool_)

    def _looks(self, histories: Histories, now_us: Int64s, of_user: Int64s) -> Looks:
        vectors = self.mixture.net.users(histories)
        estimate = self.cells.log_mass + self.cells.temperature * (vectors @ self.cells.center.T).max(axis=1)
        spoken = [_spoken(memory, histories, now_us) for memory in self.mixture.memories]
        own = users_by_items(histories)
        recent = histories.last(LAST_EVENTS)
        personal = np.ones(len(histories), np.bool_)
        personal[of_user[:-1]] = False
        return Looks(
            of_user=of_user,
            length=histories.lengths,
            personal=personal,
            vectors=vectors,
            estimate=estimate,
            through=self._through,
            spoken_offsets=tuple(one.indptr.astype(np.int64) for one in spoken),
            spoken_item=tuple(one.indices.astype(np.int32) for one in spoken),
            spoken_weight=tuple(one.data.astype(np.float32) for one in spoken),
            own_offsets=own.indptr.astype(np.int64),
            own_item=own.indices.astype(np.int32),
            recent_offsets=recent.offsets,
            recent_item=recent.item,
            recent_is_last=in_last_step(recent),
        )

    def _nothing_seen(self, n_users: int, n_looks: int) -> Seen:
        n_sources, ranker = len(self.mixture.sources), self.mixture.ranker
        capacity = min(self.capacity, len(self.mixture.popularity))
        return Seen(
            n=np.zeros(n_users, np.int64),
            item=np.empty((n_users, capacity), np.int32),
            weights=np.empty((n_looks, n_sources), np.float32),
            log_z=np.empty(n_looks, np.float32),
            scale=np.empty((n_looks, n_sources - 2), np.float32),
            by_source=np.empty((n_looks, capacity, n_sources), np.float32),
            chosen=np.empty((n_looks, NEW + HAD), np.int64),
            features=np.zeros((n_looks, NEW + HAD, len(ranker.names) if ranker else 0), np.float32),
        )

    def _log_factors(self, seen: Seen) -> Float32s:
        ranker, found = self.mixture.ranker, seen.chosen >= 0
        factors = np.zeros(found.shape, np.float32)
        if ranker is not None and found.any():
            factors[found] = ranker.tilt(seen.features[found])
        return factors


def _of(seen: Seen, n_users: int, n_looks: int) -> Seen:
    """As much of a room as a batch needs."""
    return Seen(
        seen.n[:n_users],
        seen.item[:n_users],
        seen.weights[:n_looks],
        seen.log_z[:n_looks],
        seen.scale[:n_looks],
        seen.by_source[:n_looks],
        seen.chosen[:n_looks],
        seen.features[:n_looks],
    )


def _ordered(item: Int32s, share: Float32s, others: Others, told: Told, averse: _Averse | None = None) -> Answer:
    order = best_first(item, share)
    return Answer(item[order], share[order], others, told, averse)


def _others(looks: Looks, seen: Seen, rest: Float32s, user: int) -> Others:
    """Copies: a batch's memory is used again."""
    rows = slice(looks.of_user[user], looks.of_user[user + 1])
    factor = rest[rows, None] * seen.weights[rows]
    factor[:, 1:-1] *= seen.scale[rows]
    spoken = [offsets[rows.start : rows.stop + 1] for offsets in looks.spoken_offsets]
    pieces = [slice(offsets[0], offsets[-1]) for offsets in spoken]
    return Others(
        vectors=looks.vectors[rows].copy(),
        log_z=seen.log_z[rows].copy(),
        weights=factor,
        spoken_offsets=tuple(offsets - offsets[0] for offsets in spoken),
        spoken_item=tuple(item[piece].copy() for item, piece in zip(looks.spoken_item, pieces, strict=True)),
        spoken_weight=tuple(weight[piece].copy() for weight, piece in zip(looks.spoken_weight, pieces, strict=True)),
    )


def _spoken(memory: Memory, histories: Histories, now_us: Int64s) -> Any:
    """Csr [L, V]: what each history has to do with a memory, or for those that are no matrix what they recall."""
    if isinstance(memory, ItemToItem):
        return history_weights(histories.heard(memory.loudness), decay=memory.decay, now_us=now_us)
    return memory.recall(histories, now_us)
