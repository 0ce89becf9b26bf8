"""What a user will come back to: each own item's probability to be wanted again within a window, learned log-linearly.

    logit p(user, item) = w · (how often of late, how often ever, how overdue, how many holders of the item came back,
                               how active the user is)

after the repeat-consumption models of Anderson et al. (2014) and the interval features of Bhagat et al. (2018). All
times are measured in windows (`window_days`), so one set of features suits groceries and films. Learned from training
events alone: two earlier moments, each asked about the window that followed it.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from graph.arrays import Float32s, Float64s, Int32s, Int64s
from graph.histories import Histories
from graph.memories.sparse import rows_to_distributions
from graph.storage.times import DAY_US

FEATURES = 10
_L2 = 1e-4
_SHRINK_ITEM, _SHRINK_GROUP = 5.0, 20.0
"""Holders of a rate that the group's rate counts for, and holders of the group's that the overall rate counts for."""


@dataclass(frozen=True)
class LearnedRepeats:
    """`weight` [FEATURES], `bias`: learned. `rate`, `rate_of_late` [V]: counted, share of holders who came back."""

    type: ClassVar[str] = "learned_repeats"
    name: str
    window_days: float
    weight: tuple[float, ...]
    bias: float
    rate: Float32s
    rate_of_late: Float32s

    def recall(self, histories: Histories, now_us: NDArray[np.int64]) -> sparse.csr_array:
        row, item, x = self._features(histories, now_us)
        p = 1 / (1 + np.exp(-(x @ np.array(self.weight) + self.bias)))
        shape = (len(histories), histories.n_items)
        return rows_to_distributions(sparse.coo_array((p, (row, item)), shape=shape).tocsr())

    def recounted(self, histories: Histories, as_of: int, group: Int32s) -> "LearnedRepeats":
        """The same weights over the rates of newer events. `group` int32 [V]: a category of each item, -1 = none."""
        window = round(self.window_days * DAY_US)
        long = _came_back(histories, as_of, window) + _came_back(histories, as_of - window, window)
        short = _came_back(histories, as_of, window // 4)
        return replace(self, rate=_shrunk(long, group), rate_of_late=_shrunk(short, group))

    def settings(self) -> dict[str, Any]:
        return {"window_days": self.window_days, "weight": list(self.weight), "bias": self.bias}

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"rate": self.rate, "rate_of_late": self.rate_of_late}

    def _features(self, histories: Histories, now_us: NDArray[np.int64]) -> tuple[Int64s, Int64s, Float64s]:
        """(row, item) of the P distinct pairs and their features [P, FEATURES]. An item counts once a step."""
        row, step, item = histories.row_of.astype(np.int64), histories.step, histories.item
        first = np.ones(len(row), np.bool_)
        first[1:] = (row[1:] != row[:-1]) | (step[1:] != step[:-1])
        fresh = first.copy()
        fresh[1:] |= item[1:] != item[:-1]  # equal items of a step stand together
        age = np.maximum(np.asarray(now_us)[row] - histories.occurred_at, 0) / (self.window_days * DAY_US)

        visitor, age_of_visit = row[first], age[first]
        active = [
            np.log(np.bincount(visitor, np.exp2(-age_of_visit / half_life), len(histories)) + 0.1)
            for half_life in (1.0, 4.0)
        ]
        row, item, age_of_step = row[fresh], item[fresh], age[fresh]
        pairs, pair = np.unique(row * histories.n_items + item, return_inverse=True)
        n = np.bincount(pair, minlength=len(pairs))
        newest, oldest = np.full(len(pairs), np.inf), np.zeros(len(pairs))
        np.minimum.at(newest, pair, age_of_step)
        np.maximum.at(oldest, pair, age_of_step)
        late = np.log(np.bincount(pair, np.exp2(-age_of_step), len(pairs)) + 0.01)
        ever = np.log(np.bincount(pair, np.exp2(-age_of_step / 4), len(pairs)) + 0.01)
        due = np.log((newest + 0.04) * n / (oldest - newest + 0.5))
        row, item = pairs // histories.n_items, pairs % histories.n_items
        columns = [
            late,
            late**2,
            ever,
            np.log(n),
            due,
            due**2,
            np.log(self.rate[item]),
            np.log(self.rate_of_late[item]),
            active[0][row],
            active[1][row],
        ]
        return row, item, np.stack(columns, axis=1)


def learn_repeats(histories: Histories, as_of: int, window_days: float, group: Int32s) -> LearnedRepeats | None:
    """Fitted by logistic regression on two moments before `as_of`; None where nobody has come back."""
    window = round(window_days * DAY_US)
    blank = LearnedRepeats(
        "repeats", window_days, (0.0,) * FEATURES, 0.0, np.ones(0, np.float32), np.ones(0, np.float32)
    )
    xs, ys = [], []
    for back in (1, 2):
        cut = as_of - back * window
        before = histories.until(cut)
        memory = blank.recounted(before, cut, group)
        row, item, x = memory._features(before, np.full(len(before), cut))
        xs.append(x)
        ys.append(np.isin(row * histories.n_items + item, _pairs(histories, cut, cut + window)))
    x, y = np.concatenate(xs), np.concatenate(ys)
    if not y.any() or y.all():
        return None
    weight, bias = _logistic_regression(x, y)
    return replace(blank, weight=tuple(weight.tolist()), bias=bias).recounted(histories, as_of, group)


def _logistic_regression(x: Float64s, y: NDArray[np.bool_]) -> tuple[Float64s, float]:
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    inputs, target = torch.from_numpy((x - mean) / scale), torch.from_numpy(y.astype(np.float64))
    weight = torch.zeros(x.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.full((1,), float(np.log(y.mean())), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=60, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        logits = inputs @ weight + bias
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, target) + _L2 * (weight**2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    w = weight.detach().numpy() / scale
    return w, float(bias.detach()) - float(w @ mean)


def _came_back(histories: Histories, until: int, window: int) -> Float64s:
    """[2, V]: how many users had an item before [until - window, until), and how many of them had it again in it."""
    held = np.unique(_pairs(histories, np.iinfo(np.int64).min, until - window))
    again = held[np.isin(held, _pairs(histories, until - window, until), assume_unique=False)]
    n = histories.n_items
    counts = [np.bincount(pairs % n, minlength=n).astype(np.float64) for pairs in (held, again)]
    return np.stack(counts)


def _pairs(histories: Histories, begin: int, end: int) -> Int64s:
    """user · V + item of the events in [begin, end)."""
    within = (histories.occurred_at >= begin) & (histories.occurred_at < end)
    return histories.row_of[within].astype(np.int64) * histories.n_items + histories.item[within]


def _shrunk(counts: Float64s, group: Int32s) -> Float32s:
    """again / held of each item, drawn to its group's rate where holders are few, and that to the overall one."""
    held, again = counts
    overall = (again.sum() + 1e-3) / (held.sum() + 1)
    groups = group + 1
    of_group = (np.bincount(groups, again) + _SHRINK_GROUP * overall) / (np.bincount(groups, held) + _SHRINK_GROUP)
    return np.asarray((again + _SHRINK_ITEM * of_group[groups]) / (held + _SHRINK_ITEM), dtype=np.float32)
