"""Made-up users: a segment, several interests with weights that may drift, and how often each comes."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Bools, Float32s, Float64s, Int16s, Int32s, Int64s
from graph.synth.segments import Segments
from graph.synth.tree import Tree

INTERESTS = 4
_WEIGHTS = np.array([0.45, 0.28, 0.17, 0.10], np.float32)
_DRIFTING = 0.3
"""Share of the users whose strongest interest becomes the weakest over the whole time, and the other way round."""
_UNEVEN = 1.6
"""How unequally users come: the most active 1 % make 0.01^(1/1.6) = 6 % of the visits."""
COUNTRIES = ("DE", "FR", "IT", "ES", "PL", "NL", "SE", "AT")


@dataclass(frozen=True, eq=False)
class People:
    """U users, the bots among them last in `by_activity`. K interests each; one leaf may stand twice."""

    segment: Int16s  # [U] -1 = a bot
    interest: Int32s  # [U, K] leaves
    weight_start: Float32s  # [U, K] at the first moment; each row sums to 1
    weight_end: Float32s  # [U, K] at the last; in between on the straight line
    drifts: Bools  # [U]
    country: Int16s  # [U] into COUNTRIES; says nothing of anything
    by_activity: Int32s  # [U] users, those who come most first
    n_bots: int

    def visitor(self, u: Float64s) -> Int32s:
        """int32 [n]: who comes, drawn with `u` [n] in [0, 1); never a bot."""
        shoppers = len(self.by_activity) - self.n_bots
        return self.by_activity[(shoppers * u**_UNEVEN).astype(np.int64)]

    @property
    def bots(self) -> Int32s:
        return self.by_activity[len(self.by_activity) - self.n_bots :]

    def chosen(self, user: Int32s, elapsed: Float64s, u: Float64s) -> Int64s:
        """int64 [n]: which interest, 0 … K-1, each user [n] follows when share `elapsed` [n] of the time has gone."""
        place: Int64s = np.zeros(len(user), np.int64)
        bound = np.zeros(len(user))
        for k in range(INTERESTS - 1):
            start = self.weight_start[user, k]
            bound += start + (self.weight_end[user, k] - start) * elapsed
            place += u >= bound
        return place


def make_people(n_users: int, n_bots: int, segments: Segments, tree: Tree, draw: np.random.Generator) -> People:
    segment = np.searchsorted(np.cumsum(segments.share)[:-1], draw.random(n_users), side="right").astype(np.int16)
    interest = np.empty((n_users, INTERESTS), np.int32)
    for k in range(INTERESTS):
        interest[:, k] = tree.leaf(segments.root(segment, draw.random(n_users)), draw.random(n_users))
    start = _WEIGHTS * draw.uniform(0.7, 1.3, (n_users, INTERESTS)).astype(np.float32)
    start /= start.sum(axis=1, keepdims=True)
    drifts = draw.random(n_users) < _DRIFTING
    end = np.where(drifts[:, None], start[:, ::-1], start)
    by_activity = draw.permutation(n_users).astype(np.int32)
    if n_bots:
        segment[by_activity[-n_bots:]] = -1
        drifts[by_activity[-n_bots:]] = False
    country = np.minimum(draw.geometric(0.4, n_users) - 1, len(COUNTRIES) - 1).astype(np.int16)
    return People(segment, interest, start, end, drifts, country, by_activity, n_bots)
