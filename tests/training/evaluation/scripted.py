"""A ranker for tests of the evaluation."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graph.histories import Histories


@dataclass
class Scripted:
    """A ranker that answers with whatever the function says."""

    name: str
    answer: Callable[[Histories, np.ndarray], np.ndarray]

    def scores(self, histories: Histories, now_us: np.ndarray) -> np.ndarray:
        return self.answer(histories, now_us)
