"""Held-out queries by which training chooses its best epoch: NDCG@10 with full ranking."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graph.arrays import Int64s
from graph.histories import Histories
from graph.ranges import offsets_of, places
from graph.storage.errors import TrainingError
from training.losses import strongest_interest
from training.model import InterestNet

K = 10
SCORES_AT_ONCE = 8_000_000


@dataclass(frozen=True)
class Validation:
    """B queries: what each user did before, and the distinct items that are relevant for them.

    relevant: `relevant_offsets` [B + 1] and `relevant` [R], a CSR over queries; each query has at least one.
    exclude_seen: items of the history are no candidates (the rule of the protocol; off where people buy again).
    """

    histories: Histories
    relevant_offsets: Int64s
    relevant: Int64s
    exclude_seen: bool

    def sample(self, n: int, seed: int = 0) -> "Validation":
        """At most n of the queries, at random."""
        if len(self.histories) <= n:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self.histories), n, replace=False))
        lengths = np.diff(self.relevant_offsets)[rows]
        place = places(self.relevant_offsets[rows], lengths)
        return Validation(self.histories.select(rows), offsets_of(lengths), self.relevant[place], self.exclude_seen)


def ndcg(
    net: InterestNet,
    items: Tensor,
    validation: Validation,
    chunk: int | None = None,
    *,
    known: Tensor | None = None,
    prior: Tensor | None = None,
) -> float:
    """Mean NDCG@10 over the queries, of the `known` items, bool `[V]`; None: of all. `prior` `[V]` is added to the
    logits.

    Raises TrainingError for non-finite scores, which would rank first otherwise.
    """
    users = net.user_vectors(validation.histories, items)
    chunk = chunk or max(1, SCORES_AT_ONCE // len(items))
    shift = items.new_zeros(len(items)) if prior is None else prior.clone()
    if known is not None:
        shift[~known] = -torch.inf
    gains = [
        _gains(net.temperature * users[begin : begin + chunk], items, validation, shift, begin)
        for begin in range(0, len(users), chunk)
    ]
    return float(torch.cat(gains).mean())


def _gains(users: Tensor, items: Tensor, validation: Validation, shift: Tensor, begin: int) -> Tensor:
    scores, end = strongest_interest(users @ items.T), begin + len(users)
    if not torch.isfinite(scores).all():
        raise TrainingError("the net's scores are not finite", hint="Lower the learning rate.")
    scores += shift
    if validation.exclude_seen:
        row, item = _pairs(validation.histories.offsets, validation.histories.item, begin, end)
        scores[row.to(scores.device), item.to(scores.device)] = -torch.inf
    row, item = _pairs(validation.relevant_offsets, validation.relevant, begin, end)
    relevant = torch.zeros_like(scores, dtype=torch.bool)
    relevant[row.to(scores.device), item.to(scores.device)] = True
    best, top = scores.topk(min(K, scores.shape[1]), dim=1)
    discount = 1 / torch.log2(torch.arange(top.shape[1], device=scores.device) + 2.0)
    ideal = discount.cumsum(0)[(relevant.sum(dim=1).clamp(max=len(discount)) - 1)]
    hit = relevant.gather(1, top) & torch.isfinite(best)  # where there are fewer candidates than places
    return (hit * discount).sum(dim=1) / ideal


def _pairs(offsets: Int64s, columns: np.ndarray, begin: int, end: int) -> tuple[Tensor, Tensor]:
    """The (row, column) entries of the CSR rows begin … end - 1, rows counted from `begin`."""
    row = np.repeat(np.arange(end - begin), np.diff(offsets[begin : end + 1]))
    return torch.from_numpy(row), torch.from_numpy(columns[offsets[begin] : offsets[end]].astype(np.int64))
