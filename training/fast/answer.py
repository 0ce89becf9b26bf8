"""From histories to what is answered: looks, the net in one batch, the loops, the ranker in one batch."""

import queue
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Float32s, Int32s, Int64s
from graph.histories import Histories, histories_from_arrays, joined
from graph.memories.incidence import users_by_items
from graph.memories.recall import history_weights
from graph.ranges import offsets_of
from training.aversion import averted
from training.fast.cells import Cells, cells_of
from training.fast.look import Looks, Scratch, Seen, look, scratch_for, tilt
from training.fast.tables import Tables, pace_at, tables_of
from training.memories import ItemToItem, Memory
from training.mixture import Mixture
from training.ranker_features import HAD, LAST_EVENTS, NEW, in_last_step
from training.recency import NEWEST

CANDIDATES = 6_000
"""Of one user at most: the strongest of two looks, a history of 2,000 events, 1,000 items that are asked for. A
catalog that is no larger is looked at whole."""
STRONGEST = 400
"""Items of the net, and of memories and popularity together, that become candidates, beside those of the history."""
BATCH = 32
"""Users at once."""

_LEAST = np.finfo(np.float32).tiny


@dataclass(frozen=True, eq=False)
class Answer:
    """Of one user, C candidates: `item` [C], what each source adds to p of each, `share` [C, S], and p itself, [C].

    The items that were wanted come first.
    """

    item: Int32s
    share: Float32s
    p: Float32s


class _Room(NamedTuple):
    """Memory for one batch of at most BATCH users."""

    seen: Seen
    scratch: Scratch
    share: Float32s
    p: Float32s


@dataclass(frozen=True, eq=False)
class FastMixture:
    """Threads may share it: each batch works in a room of its own."""

    mixture: Mixture
    cells: Cells
    tables: Tables
    capacity: int = CANDIDATES
    strongest: int = STRONGEST
    _rooms: "queue.SimpleQueue[_Room]" = field(default_factory=queue.SimpleQueue)

    @classmethod
    def of(
        cls, mixture: Mixture, now_us: int, *, capacity: int = CANDIDATES, strongest: int = STRONGEST
    ) -> "FastMixture":
        """`now_us`: the moment as of which items' sales are counted."""
        net = mixture.net
        cells = cells_of(net.vectors, net.prior, net.temperature, few=capacity)
        fast = cls(mixture, cells, tables_of(mixture, cells, now_us), capacity, strongest)
        # Loops are compiled at their first call, and nobody who asks should have to wait for it.
        nobody = histories_from_arrays([], [], [], n_users=1, n_items=len(mixture.popularity))
        fast.answer(nobody, np.array([now_us]), [np.zeros(0, np.int64)])
        return fast

    def as_of(self, now_us: int) -> "FastMixture":
        """The same, with the items' sales counted as of another moment."""
        return replace(self, tables=self.tables._replace(pace=pace_at(self.mixture, now_us)))

    def answer(self, histories: Histories, now_us: Int64s, wanted: Sequence[NDArray[np.integer[Any]]]) -> list[Answer]:
        """What matters to each of B users, at most BATCH, and the items `wanted` of each (each once).

        Raises IndexError for an item that there is not: compiled loops do not look.
        """
        if any(len(items) and not 0 <= items.min() <= items.max() < histories.n_items for items in wanted):
            raise IndexError(f"wanted items are 0 to {histories.n_items - 1}")
        part, of_user, looked = self._looked_at(histories, now_us)
        user = np.repeat(np.arange(len(histories)), np.diff(of_user))
        looks = self._looks(looked, now_us[user], of_user, wanted)
        room = self._take_room()
        try:
            seen = _of(room.seen, len(histories), len(looked))
            look(self.tables, looks, seen, room.scratch, self.strongest)
            tilt(looks, seen, self._log_factors(seen), part, room.share, room.p)
            if histories.against is not None:
                self._avert(seen, room.share, room.p, histories, now_us)
            return [
                Answer(seen.item[b, :n].copy(), room.share[b, :n].copy(), room.p[b, :n].copy())
                for b, n in enumerate(seen.n.tolist())
            ]
        finally:
            self._rooms.put(room)

    def _take_room(self) -> _Room:
        try:
            return self._rooms.get_nowait()
        except queue.Empty:
            seen = self._nothing_seen(BATCH, 2 * BATCH)
            share = np.empty((*seen.item.shape, seen.weights.shape[1]), np.float32)
            return _Room(
                seen, scratch_for(self.tables, len(self.cells.center)), share, np.empty(seen.item.shape, np.float32)
            )

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

    def _looks(
        self, histories: Histories, now_us: Int64s, of_user: Int64s, wanted: Sequence[NDArray[np.integer[Any]]]
    ) -> Looks:
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
            through=np.array([isinstance(memory, ItemToItem) for memory in self.mixture.memories], np.bool_),
            spoken_offsets=tuple(one.indptr.astype(np.int64) for one in spoken),
            spoken_item=tuple(one.indices.astype(np.int32) for one in spoken),
            spoken_weight=tuple(one.data.astype(np.float32) for one in spoken),
            own_offsets=own.indptr.astype(np.int64),
            own_item=own.indices.astype(np.int32),
            recent_offsets=recent.offsets,
            recent_item=recent.item,
            recent_is_last=in_last_step(recent),
            wanted_offsets=offsets_of(np.array([len(items) for items in wanted], np.int64)),
            wanted_item=np.concatenate(wanted).astype(np.int32),
        )

    def _nothing_seen(self, n_users: int, n_looks: int) -> Seen:
        n_sources, ranker = len(self.mixture.sources), self.mixture.ranker
        capacity = min(self.capacity, len(self.mixture.popularity))
        return Seen(
            n=np.zeros(n_users, np.int64),
            item=np.empty((n_users, capacity), np.int32),
            weights=np.empty((n_looks, n_sources), np.float32),
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

    def _avert(self, seen: Seen, share: Float32s, p: Float32s, histories: Histories, now_us: Int64s) -> None:
        """Dislikes, for those who have any."""
        assert histories.against is not None
        for b in np.flatnonzero(histories.against.lengths):
            n = int(seen.n[b])
            order = np.argsort(seen.item[b, :n])
            items, before = seen.item[b, :n][order].astype(np.int64), p[b, :n][order]
            one = np.array([b])
            mixture = self.mixture
            after = averted(
                before[None].copy(), histories.select(one), now_us[one], mixture.net.likeness, mixture.near, items
            )[0]
            share[b, order] *= (after / np.maximum(before, _LEAST))[:, None]
            p[b, order] = after


def _of(seen: Seen, n_users: int, n_looks: int) -> Seen:
    """As much of a room as a batch needs."""
    return Seen(
        seen.n[:n_users],
        seen.item[:n_users],
        seen.weights[:n_looks],
        seen.by_source[:n_looks],
        seen.chosen[:n_looks],
        seen.features[:n_looks],
    )


def _spoken(memory: Memory, histories: Histories, now_us: Int64s) -> Any:
    """Csr [L, V]: what each history has to do with a memory, or for those that are no matrix what they recall."""
    if isinstance(memory, ItemToItem):
        return history_weights(histories.heard(memory.loudness), decay=memory.decay, now_us=now_us)
    return memory.recall(histories, now_us)
