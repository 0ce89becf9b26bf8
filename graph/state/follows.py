"""Which item follows which, counted on: every count is kept, those that a day changed are changed, and of the rows in
which something changed the strongest are chosen again.

base       int CSR [I, I]: all counts when they were last written down as one matrix
changes    int64 CSR [I, I]: what has been added to them and taken from them since
strongest  float32 CSR [I, I]: what the graph shows, as `strongest(base + changes)` would choose it
"""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Bools, Float32s, Int32s, Int64s
from graph.follow_counts import Entries, count
from graph.followed_by import strongest
from graph.histories import step_starts
from graph.sparse import Csr, keep_strongest, stacked
from graph.state.rows import entries_at, grown, rows_of, with_rows
from graph.threads import in_threads

MOST_CHANGES = 0.25
"""When the changes are so many of the counts, both are written down as one."""


@dataclass(frozen=True, eq=False)
class Follows:
    base: Csr
    changes: Csr
    strongest: Csr
    keep_neighbours: int

    def plus(self, added: Entries, removed: Entries, n_items: int) -> "Follows":
        """Counts of `added` come on top, those of `removed` go."""
        shape = (n_items, n_items)
        base, changes, shown = (grown(matrix, shape) for matrix in (self.base, self.changes, self.strongest))
        more, less = in_threads(lambda entries: all_counts(entries, n_items).astype(np.int64), (added, removed))
        difference = Csr(more - less)
        difference.eliminate_zeros()
        if not difference.nnz:
            return Follows(base, changes, shown, self.keep_neighbours)
        difference.sort_indices()
        changes = Csr(changes + difference)
        changes.sort_indices()
        shown = _chosen(base, changes, shown, difference, self.keep_neighbours)
        if changes.nnz > MOST_CHANGES * base.nnz:
            base, changes = Csr(base + changes), Csr(shape, dtype=np.int64)
            base.eliminate_zeros()
            base.sort_indices()
        return Follows(base, changes, shown, self.keep_neighbours)


def follows_of(entries: Entries, n_items: int, keep_neighbours: int) -> Follows:
    """Counted from the start."""

    def both(rows: Csr, _: int) -> tuple[Csr, Csr]:
        rows.eliminate_zeros()
        return strongest(rows, keep_neighbours), rows

    blocks = count(entries, n_items, both)
    shape = (n_items, n_items)
    shown, base = (stacked([block[which] for block in blocks], shape) for which in (0, 1))
    return Follows(base, Csr(shape, dtype=np.int64), shown, keep_neighbours)


def all_counts(entries: Entries, n_items: int) -> Csr:
    return stacked(count(entries, n_items, lambda rows, _: rows), (n_items, n_items))


def near_changes(user: Int32s, occurred_at: Int64s, sequence: Int64s, changed: Bools, max_distance: int) -> Bools:
    """Which of the sorted events [n] can be part of a pair whose count changes with the events of the mask `changed`.

    The events hold what counted before and what counts after. A pair changes when one of it does, or when a changed
    step lies between; then no more than `max_distance` unchanged steps lie between either of it and the next changed
    step. Pairs of two events that stay although nothing changed between them count alike before and after.
    """
    new = step_starts(user, occurred_at, sequence)
    step = np.cumsum(new) - 1
    n_steps = int(step[-1]) + 1 if len(step) else 0
    user = user[new]
    moved = np.zeros(n_steps, np.bool_)
    moved[step[changed]] = True
    unchanged = np.concatenate(([0], np.cumsum(~moved)))  # how many before each step
    places, steps = np.flatnonzero(moved), np.arange(n_steps)
    if not len(places):
        return np.zeros(len(changed), np.bool_)
    following = np.searchsorted(places, steps)
    ahead, behind = (
        places[np.minimum(following, len(places) - 1)],
        places[np.maximum(np.searchsorted(places, steps, side="right") - 1, 0)],
    )
    near = (ahead >= steps) & (user[ahead] == user) & (unchanged[ahead] - unchanged[:-1] <= max_distance)
    near |= (behind <= steps) & (user[behind] == user) & (unchanged[1:] - unchanged[behind + 1] <= max_distance)
    found: Bools = near[step]
    return found


def _chosen(base: Csr, changes: Csr, before: Csr, difference: Csr, keep: int) -> Csr:
    """The strongest of each row of base + changes, given those before the last `difference`.

    Of a row it suffices to look at what was chosen and at what changed, unless something that was not chosen may have
    become one of the strongest because others fell: such rows are chosen from all of their counts.
    """
    n_items = base.shape[0]
    place = np.repeat(np.arange(n_items), np.diff(difference.indptr))
    column = difference.indices
    counted, moved, chosen = in_threads(lambda matrix: entries_at(matrix, place, column), (base, changes, before))
    level, was_chosen = (counted + moved).astype(np.float32), chosen > 0

    # A count that rises and still does not reach the weakest of a full row changes nothing.
    full = np.diff(before.indptr) == keep  # others than the chosen may exist, none of them above its weakest
    weakest, last = (of_row[place] for of_row in _weakest(before))
    matters = was_chosen | ~full[place] | (level > weakest) | ((level == weakest) & (column < last))
    place, column, level = place[matters], column[matters], level[matters]

    touched = np.unique(place)
    old = rows_of(before, touched)
    row = np.searchsorted(touched, place)
    old_row = np.repeat(np.arange(len(touched)), np.diff(old.indptr))
    old_key = old_row * n_items + old.indices
    at = np.searchsorted(old_key, row * n_items + column)
    stays = np.ones(old.nnz, np.bool_)
    stays[at[was_chosen[matters]]] = False
    rows, columns = np.concatenate([old_row[stays], row]), np.concatenate([old.indices[stays], column])
    levels = np.concatenate([old.data[stays], level])
    best = keep_strongest(Csr((levels, (rows, columns)), shape=(len(touched), n_items)), keep)

    weakest, last = _weakest(old)
    now_weakest, now_last = _weakest(best)
    safe = (now_weakest > weakest) | ((now_weakest == weakest) & (now_last <= last))
    doubtful = np.flatnonzero(full[touched] & ~((np.diff(best.indptr) == keep) & safe))
    if len(doubtful):
        everything = Csr(rows_of(base, touched[doubtful]) + rows_of(changes, touched[doubtful]))
        best = with_rows(best, doubtful, strongest(everything, keep), best.shape)
    return with_rows(before, touched, best, (n_items, n_items))


def _weakest(chosen: Csr) -> tuple[Float32s, Int64s]:
    """[rows] the smallest level of each row, and the largest column that has it; 0 and -1 for an empty row."""
    lengths = np.diff(chosen.indptr)
    level, column = np.zeros(len(lengths), np.float32), np.full(len(lengths), -1, np.int64)
    there = lengths > 0
    if there.any():
        level[there] = np.minimum.reduceat(chosen.data, chosen.indptr[:-1][there])
        at_it = chosen.data == np.repeat(level, lengths)
        column[there] = np.maximum.reduceat(np.where(at_it, chosen.indices, -1), chosen.indptr[:-1][there])
    return level, column
