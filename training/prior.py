"""How likely an item is before anything is known of the user: what the net's vectors then need not say.

With the popularity of an item added to its logit (logit adjustment, Menon et al., 2021) a cosine says how much more a
user likes an item than others do. Where a few items are bought a thousand times as often as the rest, a net that has
to say this with its vectors turns them all the same way, and learns nothing else (docs/experiments.md).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graph.arrays import Float32s


def log_prior(events: NDArray[np.integer[Any]], power: float, novelty: float = 1.0) -> Float32s | None:
    """float32 [V], added to the logits; None where all items are alike.

    `events` [V]: how many each item had. Of an item with events: `power` times the log of its events over the mean of
    those. Of one without: the log of `novelty`, how much less likely such an item is than the mean of the known ones:
    it may be likelier than what was taken once in years.
    """
    known = events > 0
    if (power == 0 and novelty == 1) or not known.any():
        return None
    popularity = np.log(np.maximum(events, 1) / events[known].mean())
    prior: Float32s = np.where(known, power * popularity, np.log(novelty)).astype(np.float32)
    return prior
