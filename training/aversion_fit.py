"""How far dislikes reach to like items, learned from what users with dislikes did next."""

import numpy as np

from graph.arrays import Float64s
from training.aversion import NEAR, averted, standing
from training.evaluation.queries import Queries
from training.memories_fit import sample
from training.mixture import Mixture, pieces_of

NEARS = (0.25, 0.5, 1.0, 2.0, 4.0)
ENOUGH, MOST = 200, 1_000
"""Validation users with dislikes: with fewer NEAR holds, more are not asked."""
CELLS = 50_000_000
"""Users times items that are looked at."""


def fit_near(mixture: Mixture, queries: Queries) -> float:
    """Of NEARS the one under which the answers to the queries are likeliest."""
    row, _, _ = standing(queries.histories, queries.now_us)
    who = np.unique(row)
    if len(who) < ENOUGH:
        return NEAR
    n_items = queries.histories.n_items
    asked = sample(queries.select(who), int(np.clip(CELLS // n_items, ENOUGH, MOST)))
    parts = [_log_likelihoods(mixture, asked.select(rows)) for rows in pieces_of(len(asked), n_items)]
    return NEARS[int(np.concatenate(parts, axis=1).mean(axis=1).argmax())]


def _log_likelihoods(mixture: Mixture, asked: Queries) -> Float64s:
    """Of each answer under each of NEARS, [NEARS, answers]."""
    p, _ = mixture.ordered(asked.histories, asked.now_us)
    of = np.repeat(np.arange(len(asked)), np.diff(asked.relevance.indptr))

    def likelihood(near: float) -> Float64s:
        pushed = averted(p.copy(), asked.histories, asked.now_us, mixture.net.likeness, near)
        log_p: Float64s = np.log(np.maximum(pushed[of, asked.relevance.indices], 1e-12)).astype(np.float64)
        return log_p

    return np.stack([likelihood(near) for near in NEARS])
