"""Pairs of user and item to calibrate on: each user's strongest items, all that came true, and some of all others."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Bools, Float64s, Int64s
from training.calibration import hazard
from training.evaluation.outcomes import Outcomes
from training.horizon import Horizon
from training.mixture import Mixture, pieces_of
from training.mixture_net import strongest_of
from training.ranker import had_mask

TOP = 100
OTHERS = 100
ELSEWHERE = 0.1
"""How much a pair outside of its user's strongest counts. All others are there with the weight of those that they were
drawn from; uncut they would outweigh what is asked about, of which they hold most outcomes and least knowledge."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """n pairs. user: row of the outcomes; x: hazard of p; weight: how many pairs each stands for; what came true."""

    user: Int64s
    x: Float64s
    had: Bools
    is_top: Bools
    weight: Float64s
    outcome: dict[Horizon, Bools]

    def select(self, chosen: Bools) -> "Pairs":
        outcome = {horizon: came[chosen] for horizon, came in self.outcome.items()}
        return Pairs(
            self.user[chosen], self.x[chosen], self.had[chosen], self.is_top[chosen], self.weight[chosen], outcome
        )


def collect(mixture: Mixture, outcomes: Outcomes, horizons: tuple[Horizon, ...], *, seed: int = 0) -> Pairs:
    """The net and the memories of `mixture` must know nothing of the outcomes."""
    parts = [
        _collected(mixture, outcomes.select(rows), rows, horizons, np.random.default_rng((seed, number)))
        for number, rows in enumerate(pieces_of(len(outcomes), len(mixture.popularity)))
    ]
    return Pairs(
        user=np.concatenate([part.user for part in parts]),
        x=np.concatenate([part.x for part in parts]),
        had=np.concatenate([part.had for part in parts]),
        is_top=np.concatenate([part.is_top for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        outcome={horizon: np.concatenate([part.outcome[horizon] for part in parts]) for horizon in horizons},
    )


def _collected(
    mixture: Mixture, outcomes: Outcomes, numbers: Int64s, horizons: tuple[Horizon, ...], random: np.random.Generator
) -> Pairs:
    log_p = mixture.scores(outcomes.histories, outcomes.now_us)
    had = had_mask(outcomes.histories)
    true = {horizon: outcomes.came_true(horizon) for horizon in horizons}
    items, user, is_top, weight = [], [], [], []
    n_items = log_p.shape[1]
    for row, scores in enumerate(log_p):
        top = strongest_of(scores, min(TOP, n_items))
        came = [m.indices[m.indptr[row] : m.indptr[row + 1]] for m in true.values()]
        known = np.unique(np.concatenate([top, *came]))
        others = np.setdiff1d(random.choice(n_items, min(OTHERS, n_items), replace=False), known)
        there = np.concatenate([known, others])
        among = np.isin(there, top)
        items.append(there)
        user.append(np.full(len(there), row))
        is_top.append(among)
        # Of what is no candidate everything that came true is there once, everything else by its share of the draw.
        stands_for = (n_items - len(known)) / max(len(others), 1)
        rest = np.concatenate([np.ones(len(known)), np.full(len(others), stands_for)])
        weight.append(np.where(among, 1.0, ELSEWHERE * rest))
    who, what = np.concatenate(user), np.concatenate(items)
    outcome = {horizon: np.asarray(m[who, what]).ravel() > 0 for horizon, m in true.items()}
    x = hazard(log_p[who, what])
    return Pairs(numbers[who], x, had[who, what], np.concatenate(is_top), np.concatenate(weight), outcome)
