"""What users did after they were asked about: what a probability is a probability of.

Unlike the questions of a ranking these include users who then did nothing: that nobody comes is an outcome too, and a
shop that asks does not know who will. Two horizons, of which the second comes once for any event and once a kind:

    the next event     one item a user: of several at one instant, one at random; users without a next one are not asked
    within N days      every item that the user had an event of interest with (kinds with sign > 0)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Bools, Int32s, Int64s
from graph.histories import Histories
from graph.storage.kinds import EventKind
from training.horizon import NEXT_EVENT, Horizon

MOST_USERS = 20_000
"""Of more, so many at random: they tell the same, and their histories fit beside everything else."""
SEED = 0


@dataclass(frozen=True, eq=False)
class Outcomes:
    """B users. histories: B rows, before `now_us` int64 `[B]`. after: B rows, what came then, within `days`.

    days: None where no more than the next event is known. kinds: names by number, `signs` int `[K]` theirs.
    """

    users: Int32s
    histories: Histories
    now_us: Int64s
    after: Histories
    days: float | None
    kinds: tuple[str, ...]
    signs: Int64s

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: Int64s) -> "Outcomes":
        before, after = self.histories.select(rows), self.after.select(rows)
        return Outcomes(self.users[rows], before, self.now_us[rows], after, self.days, self.kinds, self.signs)

    def sample(self, n: int) -> "Outcomes":
        """At most n users, at random."""
        if len(self) <= n:
            return self
        return self.select(np.sort(np.random.default_rng(SEED).choice(len(self), n, replace=False)))

    @property
    def horizons(self) -> tuple[Horizon, ...]:
        """All that can be asked here: single kinds only where several speak of interest in what came."""
        if self.days is None:
            return (NEXT_EVENT,)
        there = np.bincount(self.after.kind[self._of_interest], minlength=len(self.kinds)) > 0
        kinds = [self.kinds[kind] for kind in np.flatnonzero(there)]
        single = tuple(Horizon(self.days, kind) for kind in kinds) if len(kinds) > 1 else ()
        return NEXT_EVENT, Horizon(self.days), *single

    def asked(self, horizon: Horizon) -> Bools:
        """bool `[B]`."""
        return self.after.lengths > 0 if horizon.days is None else np.ones(len(self), np.bool_)

    def events(self, horizon: Horizon) -> Int64s:
        """int64 `[B]`: how many events each user had that the horizon is about."""
        return np.bincount(self.after.row_of[self._chosen(horizon)], minlength=len(self))

    def came_true(self, horizon: Horizon) -> csr_array:
        """CSR `[B, V]` of ones."""
        row, item, chosen = self.after.row_of, self.after.item, self._chosen(horizon)
        matrix = csr_array(
            (np.ones(chosen.sum(), np.float32), (row[chosen], item[chosen])), shape=(len(self), self.after.n_items)
        )
        matrix.sum_duplicates()
        matrix.data[:] = 1
        return matrix

    def _chosen(self, horizon: Horizon) -> Bools:
        if horizon.days is None:
            return self._one_of_the_first_step()
        if horizon.kind is None:
            return self._of_interest
        return np.asarray(self._of_interest & (self.after.kind == self.kinds.index(horizon.kind)))

    @property
    def _of_interest(self) -> Bools:
        return np.asarray(self.signs[self.after.kind] > 0)

    def _one_of_the_first_step(self) -> Bools:
        first = self.after.step == 0
        size = np.bincount(self.after.row_of[first], minlength=len(self))
        chosen = np.zeros(len(first), np.bool_)
        there = size > 0
        # Seeded by the user: a selection of users sees what all of them see.
        draw = np.array([np.random.default_rng((SEED, int(user))).random() for user in self.users[there]])
        chosen[self.after.offsets[:-1][there] + (draw * size[there]).astype(np.int64)] = True
        return chosen


def outcomes_of(
    histories: Histories, now_us: Int64s, after: Histories, days: float | None, kinds: Sequence[EventKind]
) -> Outcomes:
    """Of the users who have a history, at most MOST_USERS; all arguments have a row a user."""
    asked = histories.lengths > 0
    if days is None:
        asked &= after.lengths > 0
    users = np.flatnonzero(asked)
    if len(users) > MOST_USERS:
        users = np.sort(np.random.default_rng(SEED).choice(users, MOST_USERS, replace=False))
    return Outcomes(
        users=users.astype(np.int32),
        histories=histories.select(users),
        now_us=now_us[users],
        after=after.select(users),
        days=days,
        kinds=tuple(kind.name for kind in kinds),
        signs=np.array([kind.sign for kind in kinds], np.int64),
    )
