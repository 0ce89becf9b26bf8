"""What the softmax is measured against: the losses of BPR and of the first SASRec, over the same shared negatives.

Each takes what `softmax_loss` takes and sees each negative alone, where the softmax weighs the hardest.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from training.losses import Negatives, Pairs, softmax_loss

Loss = Callable[[Pairs, Negatives], Tensor]


def bpr_loss(pairs: Pairs, negatives: Negatives) -> Tensor:
    """Mean of -log σ(target - negative) over pairs and negatives (Rendle et al., 2009); scalar."""
    others = pairs.of(pairs.asking_each, negatives.items)
    return _mean(functional.softplus(others - pairs.of_targets().unsqueeze(1)), _told_apart(pairs, negatives))


def bce_loss(pairs: Pairs, negatives: Negatives) -> Tensor:
    """-log σ(target) plus the mean of -log(1 - σ(negative)) (Kang and McAuley, 2018); scalar."""
    others = pairs.of(pairs.asking_each, negatives.items)
    return functional.softplus(-pairs.of_targets()).mean() + _mean(
        functional.softplus(others), _told_apart(pairs, negatives)
    )


LOSSES: dict[str, Loss] = {"softmax": softmax_loss, "bpr": bpr_loss, "bce": bce_loss}
"""By the name that `NetConfig.loss` has."""


def _told_apart(pairs: Pairs, negatives: Negatives) -> Tensor:
    """bool `[P, n]`: whether the negative is another item than the target."""
    return negatives.items != pairs.target.unsqueeze(1)


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    return (values * counted).sum() / torch.clamp(counted.sum(), min=1)
