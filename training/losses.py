"""Softmax over the catalog, exact or estimated from negatives that a batch shares."""

import math
from dataclasses import dataclass

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


def softmax_loss(
    users: Tensor,
    items: Tensor,
    query: Tensor,
    target: Tensor,
    negatives: Negatives,
    temperature: Tensor,
    prior: Tensor | None = None,
) -> Tensor:
    """Mean over the pairs of -log p(target | user); scalar.

    Shapes: users `[Q, K, dim]` and items `[V, dim]` of unit length; query, target `[P]`; prior `[V]`, added to the
    logits (prior.py).

    p is the softmax over the target and the items that are no target of the same query. The sum over the latter is
    estimated from the negatives (sampled softmax, Jean et al., 2015), once a query for all targets of a basket; with
    all items as negatives it is exact.
    With K interests an item's logit is the largest of the K (MIND, Li et al., 2019).
    """
    place = torch.full((len(items),), -1, dtype=torch.long, device=items.device)
    place[negatives.items] = torch.arange(len(negatives.items), device=items.device)
    hit = place[target] >= 0  # a target among the negatives would be pushed up and down at once

    users = temperature * users
    logits = users @ functional.embedding(negatives.items, items).T + negatives.log_weight
    if prior is not None:
        logits = logits + prior[negatives.items]
    logits[query[hit], :, place[target[hit]]] = -torch.inf
    others = strongest_interest(logits).float().logsumexp(dim=1)

    asking = functional.embedding(query, users.flatten(1)).view(-1, *users.shape[1:])
    own = strongest_interest((asking * functional.embedding(target, items).unsqueeze(1)).sum(dim=-1)).float()
    if prior is not None:
        own = own + prior[target]
    # -log(e^own / (e^own + e^others)) = softplus(others - own)
    return functional.softplus(functional.embedding(query, others.unsqueeze(1)).squeeze(1) - own).mean()


def strongest_interest(logits: Tensor) -> Tensor:
    """`[B, K, …] -> [B, …]`, the largest over the K interests; free where there is one."""
    return logits.squeeze(1) if logits.shape[1] == 1 else logits.amax(dim=1)
