"""What the softmax is measured against: the losses of BPR and of the first SASRec, over the same shared negatives.

Each takes what `softmax_loss` takes and sees each negative alone, where the softmax weighs the hardest.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from training.losses import Negatives, softmax_loss, strongest_interest

Loss = Callable[[Tensor, Tensor, Tensor, Tensor, Negatives, Tensor, Tensor | None], Tensor]


def bpr_loss(
    users: Tensor,
    items: Tensor,
    query: Tensor,
    target: Tensor,
    negatives: Negatives,
    temperature: Tensor,
    prior: Tensor | None = None,
) -> Tensor:
    """Mean of -log σ(target - negative) over pairs and negatives (Rendle et al., 2009); scalar."""
    own, others, told_apart = _logits(users, items, query, target, negatives, temperature, prior)
    return _mean(functional.softplus(others - own.unsqueeze(1)), told_apart)


def bce_loss(
    users: Tensor,
    items: Tensor,
    query: Tensor,
    target: Tensor,
    negatives: Negatives,
    temperature: Tensor,
    prior: Tensor | None = None,
) -> Tensor:
    """-log σ(target) plus the mean of -log(1 - σ(negative)) (Kang and McAuley, 2018); scalar."""
    own, others, told_apart = _logits(users, items, query, target, negatives, temperature, prior)
    return functional.softplus(-own).mean() + _mean(functional.softplus(others), told_apart)


LOSSES: dict[str, Loss] = {"softmax": softmax_loss, "bpr": bpr_loss, "bce": bce_loss}
"""By the name that `NetConfig.loss` has."""


def _logits(
    users: Tensor,
    items: Tensor,
    query: Tensor,
    target: Tensor,
    negatives: Negatives,
    temperature: Tensor,
    prior: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of P pairs and n negatives: the target's logit `[P]`, those of the negatives `[P, n]`, and bool `[P, n]`, whether
    the negative is another item than the target."""
    asking = temperature * functional.embedding(query, users.flatten(1)).view(-1, *users.shape[1:])
    own = strongest_interest((asking * functional.embedding(target, items).unsqueeze(1)).sum(dim=-1)).float()
    others = strongest_interest(asking @ functional.embedding(negatives.items, items).T).float()
    if prior is not None:
        own, others = own + prior[target], others + prior[negatives.items]
    return own, others, negatives.items != target.unsqueeze(1)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / torch.clamp(counted.sum(), min=1)
