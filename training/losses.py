"""Softmax over the catalog, exact or estimated from negatives that a batch shares."""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from training.config import NetConfig


@dataclass(frozen=True)
class Negatives:
    """`items` int64 `[n]`, distinct; Σ exp(logit + `log_weight` `[n]`) estimates the sum over the catalog."""

    items: Tensor
    log_weight: Tensor


def sample_negatives(proposal: Tensor, config: NetConfig) -> Negatives:
    """`config.negatives` draws from `proposal` `[V]`, the same for a whole batch; of a small catalog all that may be.

    An item drawn c times out of n weighs c / (n · proposal), which makes the estimate unbiased (logQ correction).
    """
    possible, n = proposal.nonzero().squeeze(1), config.negatives
    if len(possible) <= n:
        return Negatives(possible, torch.zeros_like(proposal[possible]))
    if config.popular_negatives == 0:
        items = possible[torch.randperm(len(possible), device=proposal.device)[:n]]
        return Negatives(items, torch.full_like(proposal[:n], math.log(len(possible) / n)))
    items, count = torch.unique(torch.multinomial(proposal, n, replacement=True), return_counts=True)
    return Negatives(items, torch.log(count / (n * proposal[items])))


def negative_proposal(events: Tensor, config: NetConfig) -> Tensor:
    """The probability `[V]` of each item to be drawn: uniform, mixed with the share of events `[V]` it has.

    Items without events are never drawn: what stands for them is their categories, and these would be pushed down.
    """
    events = events.float()
    known = (events > 0).float()
    return config.popular_negatives * events / events.sum() + (1 - config.popular_negatives) * known / known.sum()


@dataclass(frozen=True)
class Pairs:
    """P times a query was followed by an item, in the net's vectors.

    Shapes: users `[Q, K, dim]` and items `[V, dim]` of unit length; query, target int64 `[P]`; prior `[V]`, added to
    the logits (prior.py).
    """

    users: Tensor
    items: Tensor
    query: Tensor
    target: Tensor
    temperature: Tensor
    prior: Tensor | None = None

    @cached_property
    def asking(self) -> Tensor:
        """`[Q, K, dim]`: whose product with an item is a logit."""
        return self.temperature * self.users

    @cached_property
    def asking_each(self) -> Tensor:
        """`[P, K, dim]`: `asking` of each pair."""
        return functional.embedding(self.query, self.asking.flatten(1)).view(-1, *self.users.shape[1:])

    def of_targets(self) -> Tensor:
        """`[P]`: the logit of each pair's target."""
        own = strongest_interest(
            (self.asking_each * functional.embedding(self.target, self.items).unsqueeze(1)).sum(dim=-1)
        )
        return own if self.prior is None else own + self.prior[self.target]

    def of(self, asking: Tensor, chosen: Tensor) -> Tensor:
        """`[B, K, dim]`, items `[n]` -> `[B, n]`: the logits of the same items for each."""
        logits = strongest_interest(asking @ functional.embedding(chosen, self.items).T)
        return logits if self.prior is None else logits + self.prior[chosen]


def softmax_loss(pairs: Pairs, negatives: Negatives) -> Tensor:
    """Mean over the pairs of -log p(target | user); scalar.

    p is the softmax over the target and the items that are no target of the same query. The sum over the latter is
    estimated from the negatives (sampled softmax, Jean et al., 2015), once a query for all targets of a basket; with
    all items as negatives it is exact.
    With K interests an item's logit is the largest of the K (MIND, Li et al., 2019).
    """
    query, target = pairs.query, pairs.target
    place = torch.full((len(pairs.items),), -1, dtype=torch.long, device=target.device)
    place[negatives.items] = torch.arange(len(negatives.items), device=target.device)
    hit = place[target] >= 0  # a target among the negatives would be pushed up and down at once

    logits = pairs.of(pairs.asking, negatives.items) + negatives.log_weight
    logits[query[hit], place[target[hit]]] = -torch.inf
    others = functional.embedding(query, logits.logsumexp(dim=1).unsqueeze(1)).squeeze(1)
    # -log(e^own / (e^own + e^others)) = softplus(others - own)
    return functional.softplus(others - pairs.of_targets()).mean()


def strongest_interest(logits: Tensor) -> Tensor:
    """`[B, K, …] -> [B, …]`, float32: the largest over the K interests; free where there is one."""
    return (logits.squeeze(1) if logits.shape[1] == 1 else logits.amax(dim=1)).float()
