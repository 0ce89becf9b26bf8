"""Users of whom little is known: the same questions, with all but the newest events of each user forgotten."""

from dataclasses import replace

import numpy as np

from training.evaluation.queries import Queries

LENGTHS = (1, 2, 3, 5)


def known_for(queries: Queries, events: int) -> Queries:
    """The questions of users with at least so many events, so that every length is asked of the same users."""
    return queries.select(np.flatnonzero(queries.histories.lengths >= events))


def newest(queries: Queries, events: int) -> Queries:
    """The questions as if each user had come with the last so many events only."""
    return replace(queries, histories=queries.histories.last(events))
