"""Is one ranker better than another, or luckier: a paired bootstrap over users (Sakai 2006)."""

from dataclasses import dataclass

import numpy as np

from graph.arrays import Float64s
from graph.storage.errors import BadInputError

CHUNK_DRAWS = 8_000_000


@dataclass(frozen=True)
class Difference:
    """Mean over users of ours - theirs, with its percentile interval; `low > 0` means better beyond luck."""

    mean: float
    low: float
    high: float
    users: int

    @property
    def sign(self) -> int:
        """1: better beyond luck, -1: worse beyond luck, 0: neither; one user alone proves nothing."""
        return 0 if self.users < 2 else int(self.low > 0) - int(self.high < 0)


def paired_bootstrap(
    ours: Float64s, theirs: Float64s, *, samples: int = 2_000, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Resamples users with replacement, both rankers together.

    Args:
        ours, theirs: float64 `[users]`, one metric of both, the same users in the same order.
    """
    if ours.shape != theirs.shape or ours.ndim != 1 or not len(ours):
        raise BadInputError(
            f"A paired comparison needs one value per user on both sides, got {ours.shape} and {theirs.shape}.",
            hint="Evaluate both rankers on the same queries.",
        )
    difference = np.asarray(ours - theirs, dtype=np.float64)
    users = len(difference)
    random = np.random.default_rng(seed)
    rows = max(1, CHUNK_DRAWS // users)
    means = np.concatenate(
        [
            difference[random.integers(0, users, (min(rows, samples - done), users), dtype=np.int32)].mean(axis=1)
            for done in range(0, samples, rows)
        ]
    )
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Difference(float(difference.mean()), float(low), float(high), users)
