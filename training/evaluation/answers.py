"""Answers computed elsewhere, by another library in an environment of its own: the best items of each user."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from graph.arrays import Float32s, Int32s
from graph.storage.errors import BadInputError


@dataclass(frozen=True, eq=False)
class Answers:
    """For each of Q users the K best items, the best first; items left out are level with each other below them.

    users: int32 `[Q]`, indices, ascending. items: int32 `[Q, K]`, -1 where a list is shorter. scores: float32 `[Q, K]`.
    """

    name: str
    users: Int32s
    items: Int32s
    scores: Float32s
    n_items: int

    def __post_init__(self) -> None:
        if self.items.shape != self.scores.shape or len(self.items) != len(self.users):
            raise BadInputError(f"{self.name!r} has answers of unequal shapes.", hint="Run the peer again.")
        if (np.diff(self.users) <= 0).any():
            raise BadInputError(f"{self.name!r} does not name users in ascending order.", hint="Run the peer again.")
        if self.items.max(initial=-1) >= self.n_items or self.items.min(initial=-1) < -1:
            raise BadInputError(f"{self.name!r} names an item that does not exist.", hint="Run the peer again.")
        if not np.isfinite(self.scores[self.items >= 0]).all():
            raise BadInputError(
                f"{self.name!r} has scores that are not finite.", hint="Its training may have diverged."
            )

    @classmethod
    def read(cls, name: str, path: Path, n_items: int) -> Self:
        """From an `.npz` with users, items and scores. Raises BadInputError for what is no such file."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(
                    name,
                    arrays["users"].astype(np.int32),
                    arrays["items"].astype(np.int32),
                    arrays["scores"].astype(np.float32),
                    n_items,
                )
        except (OSError, KeyError, ValueError) as error:
            raise BadInputError(f"{path} holds no answers ({error}).", hint="Run the peer again.") from error

    def scores_for(self, users: Int32s) -> Float32s:
        """float32 `[B, V]` for users that were asked; BadInputError for one that was not."""
        row = np.minimum(np.searchsorted(self.users, users), max(len(self.users) - 1, 0))
        if not len(self.users) or (self.users[row] != users).any():
            raise BadInputError(f"{self.name!r} has no answer for every user.", hint="Run the peer again.")
        dense = np.zeros((len(users), self.n_items), np.float32)
        place, rank = np.nonzero(self.items[row] >= 0)
        dense[place, self.items[row][place, rank]] = self._points[row][place, rank]
        return dense

    @cached_property
    def _points(self) -> Float32s:
        """K for the best of a list, 1 for the last of K; equal scores get equal points, so that ties stay ties."""
        worse = np.where(self.items >= 0, self.scores.astype(np.float64), np.finfo(np.float64).min / 2)
        order = np.argsort(-worse, axis=1, kind="stable")
        ordered = np.take_along_axis(worse, order, axis=1)
        level = np.cumsum(np.diff(ordered, axis=1, prepend=ordered[:, :1]) != 0, axis=1)
        points = np.empty_like(self.scores)
        np.put_along_axis(points, order, (self.items.shape[1] - level).astype(np.float32), axis=1)
        return points
