"""How far dislikes reach to like items, learned from what users with dislikes did next."""

import numpy as np

from training.aversion import NEAR, averted, standing
from training.evaluation.queries import Queries
from training.memories_fit import sample
from training.mixture import Mixture

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
    asked = sample(queries.select(who), min(MOST, max(1, CELLS // n_items)))
    p, _ = mixture.ordered(asked.histories, asked.now_us)
    of = np.repeat(np.arange(len(asked)), np.diff(asked.relevance.indptr))

    def likelihood(near: float) -> float:
        pushed = averted(p.copy(), asked.histories, asked.now_us, mixture.net.likeness, near)
        return float(np.log(np.maximum(pushed[of, asked.relevance.indices], 1e-12)).mean())

    return max(NEARS, key=likelihood)
