"""How much the newest events count, learned from what users did next in the validation window, step by step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graph.arrays import Float64s
from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot
from training.evaluation.metrics import per_user, top_ranks
from training.evaluation.queries import Queries, queries_of
from training.mixture import Mixture, pieces_of
from training.ranker import had_mask
from training.recency import ALIKE, NEWEST, Recency

TOPS = (0.25, 0.5, 0.75, 1.0)
HALF_LIVES_DAYS = (1 / 24, 1 / 4, 1.0)
ENOUGH, MOST = 200, 1_000
"""Users who are asked: with fewer nothing is learned."""
CELLS = 50_000_000
BEYOND_DOUBT = 2.0
"""Standard errors that the best setting must gain over doing without."""


def fit_recency(mixture: Mixture, trained: Snapshot, following: Snapshot, *, exclude_seen: bool) -> Recency:
    """The setting under which what came next ranks best. `following` holds the events after those of `trained`."""
    n_items = len(trained.items)
    most = int(np.clip(CELLS // max(1, n_items), ENOUGH, MOST))
    asked = next_steps(histories_of(trained), following, most).under("exclude" if exclude_seen else "include")
    if len(asked) < ENOUGH:
        return ALIKE
    settings = [Recency(top, half_life) for top in TOPS for half_life in HALF_LIVES_DAYS]
    parts = [_gains(mixture, asked.select(rows), settings, exclude_seen) for rows in pieces_of(len(asked), n_items)]
    gains = np.concatenate(parts, axis=1)
    best = max(gains, key=np.mean)
    error = best.std() / np.sqrt(len(asked))
    if best.mean() <= BEYOND_DOUBT * error:
        return ALIKE
    # Of settings that nobody can tell apart the one that remembers a turn for longest.
    alike = [
        (s.half_life_days, g.mean(), s) for s, g in zip(settings, gains, strict=True) if g.mean() > best.mean() - error
    ]
    return max(alike, key=lambda one: one[:2])[2]


def next_steps(before: Histories, following: Snapshot, most: int) -> Queries:
    """One of the steps after `before` of each of at most `most` users, asked at its time with all that came earlier."""
    later, random = histories_of(following), np.random.default_rng(0)
    can = np.flatnonzero((before.lengths > NEWEST) & (later.lengths > before.lengths))
    users = np.sort(random.choice(can, min(most, len(can)), replace=False)).astype(np.int32)
    lived, asked_after = later.select(users), before.lengths[users]
    place = asked_after + (random.random(len(users)) * (lived.lengths - asked_after)).astype(np.int64)
    target = lived.offsets[:-1] + place
    step = np.repeat(lived.step[target], lived.lengths)
    row, earlier, relevant = lived.row_of, lived.step < step, lived.step == step
    # Dislikes are no part of the question, and some of these came after it.
    histories = replace(lived.oldest(np.bincount(row[earlier], minlength=len(users))), against=None)
    catalog = np.ones(lived.n_items, np.bool_)
    now_us = lived.occurred_at[target]
    return queries_of(users, histories, now_us, row[relevant].astype(np.int64), lived.item[relevant], catalog)


def _gains(mixture: Mixture, asked: Queries, settings: Sequence[Recency], exclude_seen: bool) -> Float64s:
    """What each setting gains in NDCG@10 over doing without, [settings, B]."""
    histories, now_us = asked.histories, asked.now_us
    p, _ = mixture.ordered(histories, now_us)
    newest, _ = mixture.ordered(histories.last(NEWEST), now_us, personal=True)
    hidden = had_mask(histories) if exclude_seen else np.zeros((1, p.shape[1]), np.bool_)

    def ndcg(setting: Recency) -> Float64s:
        share = setting(histories, now_us, mixture.net.likeness)[:, None].astype(np.float32)
        ranks = top_ranks((1 - share) * p + share * newest, hidden, asked.relevance)
        return per_user(ranks, np.diff(asked.relevance.indptr))["ndcg@10"]

    without = ndcg(ALIKE)
    return np.stack([ndcg(setting) - without for setting in settings])
