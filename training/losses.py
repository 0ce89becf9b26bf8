"""Softmax over the catalog, exact or estimated from shared uniform negatives."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from training.config import NetConfig


def sample_negatives(n_items: int, config: NetConfig, device: torch.device) -> Tensor:
    """Distinct items, uniform; all items where the catalog has no more than `negatives`. int64 `[n]`."""
    if n_items <= config.negatives:
        return torch.arange(n_items, device=device)
    return torch.randperm(n_items, device=device)[: config.negatives]


def softmax_loss(
    users: Tensor, items: Tensor, query: Tensor, target: Tensor, negatives: Tensor, temperature: Tensor
) -> Tensor:
    """Mean over the pairs of -log p(target | user); scalar.

    Shapes: users `[Q, K, dim]` and items `[V, dim]` of unit length; query, target `[P]`; negatives `[n]`.

    p is the softmax over the target and the items that are no target of the same query. The sum over the latter is
    V/n times the sum over the negatives, hence + log(V/n) on their logits (sampled softmax, Jean et al., 2015); with
    all items as negatives it is exact. The negatives' sum is computed once a query and serves all targets of a basket.
    With K interests an item's logit is the largest of the K (MIND, Li et al., 2019).
    """
    n_items, n = len(items), len(negatives)
    place = torch.full((n_items,), -1, dtype=torch.long, device=items.device)
    place[negatives] = torch.arange(n, device=items.device)
    hit = place[target] >= 0  # a target among the negatives would be pushed up and down at once

    users = temperature * users
    logits = users @ functional.embedding(negatives, items).T
    logits[query[hit], :, place[target[hit]]] = -torch.inf
    others = strongest_interest(logits).float().logsumexp(dim=1) + math.log(n_items / n)

    asking = functional.embedding(query, users.flatten(1)).view(-1, *users.shape[1:])
    own = strongest_interest((asking * functional.embedding(target, items).unsqueeze(1)).sum(dim=-1)).float()
    # -log(e^own / (e^own + e^others)) = softplus(others - own)
    return functional.softplus(functional.embedding(query, others.unsqueeze(1)).squeeze(1) - own).mean()


def strongest_interest(logits: Tensor) -> Tensor:
    """`[B, K, …] -> [B, …]`, the largest over the K interests; free where there is one."""
    return logits.squeeze(1) if logits.shape[1] == 1 else logits.amax(dim=1)
