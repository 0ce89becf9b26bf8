"""What is on the rise: how many of an item's holders came to it just now."""

import numpy as np

from graph.arrays import Float32s
from graph.histories import Histories

NEWCOMERS, HOLDERS = 1.0, 10.0
"""Added to both counts, so that an item that few have is neither hot nor cold."""


def trend(histories: Histories, now_us: int, window_us: int) -> Float32s:
    """(newcomers + 1) / (holders + 10), float32 `[V]`, from events before `now_us`.

    Newcomers are users whose oldest event of the item lies in [now - window, now). A power of it (about 1/2) times
    what an item-item memory says favours what people start with over what they have long had.
    """
    past = histories.until(now_us)
    pair = past.row_of.astype(np.int64) * past.n_items + past.item
    _, first = np.unique(pair, return_index=True)  # the oldest, for events of a row ascend in time
    item = past.item[first]
    newcomers = np.bincount(item[past.occurred_at[first] >= now_us - window_us], minlength=past.n_items)
    holders = np.bincount(item, minlength=past.n_items)
    return ((newcomers + NEWCOMERS) / (holders + HOLDERS)).astype(np.float32)
