"""Items that nobody has ever touched, from category and features alone: a split by item.

items with events, in random order   test 15 % ─ validation 15 % ─ the rest
learned from                         all events but those of the items held out
asked                                each user whose history holds something before the last event with a held-out item
candidates                           the held-out items alone

A random part of the items stands for those to come: whoever holds out the newest ones measures the drift of a shop
along with it. The user's later events with other items are learned from, as in leave-one-out.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array

from graph.arrays import Bools, Float32s, Int32s, Int64s
from graph.events import EventLog, Events
from graph.hashing import hash_rows
from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from graph.storage.times import NEVER_US
from graph.taxonomy import ancestors_matrix
from training.evaluation.baselines import Ranker
from training.evaluation.protocols import Split, leave_one_out
from training.evaluation.queries import Queries, queries_of

Part = Literal["validation", "test"]
SHARE = 0.15
SEED = 0
LEVEL = np.float32(1e-4)
"""Scores that differ by less are level: counts, sums of rarities, logits and logs of p all differ by more."""


@dataclass(frozen=True, eq=False)
class ColdItems:
    """`known`: what may be learned from, without one event of an item held out. `asked`: what comes after."""

    settings: dict[str, Any]
    known: Snapshot
    asked: Queries


def cold_items(snapshot: Snapshot, *, part: Part = "test", share: float = SHARE, seed: int = SEED) -> ColdItems:
    """Raises BadInputError where nobody did anything before a held-out item.

    part: `validation` holds out other items than `test`, and drops those of the test: what is chosen on it has not
    seen them.
    """
    if not 0 < share <= 0.4:
        raise BadInputError(
            f"A share of {share:g} of the items cannot be held out.", hint="Choose one from 0.01 to 0.4."
        )
    sign = np.array([kind.sign for kind in snapshot.kinds] or [0])
    events = snapshot.events.take(sign[snapshot.events.kind] >= 0)
    test, validation = _held_out(events, len(snapshot.items), share, seed)
    dropped = np.zeros_like(test) if part == "test" else test
    cold = test if part == "test" else validation
    known = replace(snapshot, log=_log(events.take(~(cold | dropped)[events.item])))
    return ColdItems(
        settings={"items": part, "share": share, "seed": seed, "held_out": int(cold.sum())},
        known=known,
        asked=_questions(snapshot, events.take(~dropped[events.item]), cold),
    )


def trained_on(known: Snapshot) -> Split:
    """How a model learns from what is known: each user's last event chooses epoch, gate and ranker."""
    return leave_one_out(known)


def category_frequencies(snapshot: Snapshot) -> list["CategoryFrequency"]:
    """The baselines of this split: all categories alike, by rarity (log of items / items in it), and, where there are
    several trees of categories, each tree alone."""
    categories = ancestors_matrix(snapshot.item_category, snapshot.category_parent, len(snapshot.items))
    size = np.bincount(categories.indices, minlength=categories.shape[1])
    counts = csr_array(categories.astype(np.float32))
    name, level = "category frequency", np.ones(len(size), np.float32)
    rarity = np.log(len(snapshot.items) / np.maximum(size, 1)).astype(np.float32)
    found = [CategoryFrequency(name, counts, level), CategoryFrequency(f"{name}, by rarity", counts, rarity)]
    root = _roots(snapshot.category_parent)
    trees = [r for r in np.unique(root) if (root == r).sum() > 1]
    for tree in trees if len(trees) > 1 else []:
        label = snapshot.category_names[int(tree)].as_py()
        found.append(CategoryFrequency(f"{name}, {label} alone", counts, (root == tree).astype(np.float32)))
    return found


@dataclass(frozen=True, eq=False)
class CategoryFrequency:
    """How often the user had each of an item's categories, added up."""

    name: str
    categories: csr_array  # [V, C], ancestors included
    weight: Float32s  # [C]

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        events = np.ones(len(histories.item), np.float32)
        shape = (len(histories), histories.n_items)
        had = csr_array((events, (histories.row_of, histories.item)), shape=shape) @ self.categories
        scores: Float32s = (had.multiply(self.weight) @ self.categories.T).toarray().astype(np.float32)
        return scores


@dataclass(frozen=True, eq=False)
class Untied:
    """A ranker whose level candidates come in random order, another for each user: new items that the catalog describes
    alike are level for whoever reads nothing else, and ties count against the target."""

    ranker: Ranker
    candidates: Bools  # [V]

    @property
    def name(self) -> str:
        return self.ranker.name

    def scores(self, histories: Histories, now_us: Int64s) -> Float32s:
        scores = self.ranker.scores(histories, now_us)
        columns = np.flatnonzero(self.candidates)
        user = np.zeros(len(histories), np.int64)
        np.add.at(user, histories.row_of, histories.item.astype(np.int64) + 1)
        chance = hash_rows(np.repeat(user, len(columns)), np.tile(columns, len(user))) >> np.uint64(40)
        scores[:, columns] += LEVEL * chance.astype(np.float32).reshape(len(user), -1) / np.float32(2**24)
        return scores


def _roots(parent: Int32s) -> Int64s:
    """int64 [C]: the root above each category, itself for a root."""
    root = np.arange(len(parent))
    while (up := parent[root] >= 0).any():
        root[up] = parent[root[up]]
    return root


def _held_out(events: Events, n_items: int, share: float, seed: int) -> tuple[Bools, Bools]:
    """The items of the test and of the validation, bool [V] each."""
    active = np.unique(events.item)
    shuffled = np.random.default_rng(seed).permutation(active)
    n = round(share * len(active))
    test, validation = np.zeros((2, n_items), np.bool_)
    test[shuffled[:n]] = validation[shuffled[n : 2 * n]] = True
    return test, validation


def _questions(snapshot: Snapshot, events: Events, cold: Bools) -> Queries:
    """Each user's last event with a cold item, asked after all that the user did before it with others."""
    is_cold = cold[events.item]
    place = np.arange(len(events))
    last = np.full(len(snapshot.users), -1)
    last[events.user[is_cold]] = place[is_cold]  # sorted by user and time: the last one stays
    before = events.take(~is_cold & (place < last[events.user]))
    histories = histories_of(replace(snapshot, log=_log(before)))
    users = np.flatnonzero((last >= 0) & (histories.lengths > 0)).astype(np.int32)
    if not len(users):
        raise BadInputError("Nobody did anything before a held-out item.", hint="Hold out a larger share of the items.")
    histories = histories.select(users)
    now_us = histories.occurred_at[histories.offsets[1:] - 1]
    return queries_of(users, histories, now_us, np.arange(len(users)), events.item[last[users]], cold)


def _log(events: Events) -> EventLog:
    return EventLog(events, np.full(len(events), NEVER_US))
