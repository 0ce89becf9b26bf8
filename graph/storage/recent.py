"""The newest events of a few users, for answering: read row by row through an index, one statement a user."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import aliased  # noqa: F401


@dataclass(frozen=True)
class RecentEvents:
    """Events of users, oldest first within a user: by time, then sequence (none = 0), then item. Columns of length n."""

    offsets: NDArray[np.int64]  # [users + 1]: events of user u are offsets[u] to offsets[u + 1]
    item: NDArray[np.object_]  # external ids
    item_id: NDArray[np.int64]  # surrogate ids
    kind_id: NDArray[np.int64]
    value: NDArray[np.float64]  # nan: none
    occurred_at: NDArray[np.int64]  # us
    sequence: NDArray[np.int64]  # -1: none
    is_known: NDArray[np.bool_]  # [users]: whether the store has heard of the user
