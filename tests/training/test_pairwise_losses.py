"""Each loss against its formula, pair by pair and negative by negative."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.config import NetConfig
from training.losses import Negatives, Pairs
from training.pairwise_losses import LOSSES, bce_loss, bpr_loss

V, DIM = 40, 8
QUERY, TARGET, CHOSEN = torch.tensor([0, 0, 1, 3]), torch.tensor([3, 4, 5, 6]), torch.arange(0, 30, 3)
"""Items 3 and 6 are negatives too, and are none of the pairs whose target they are."""


def vectors(*shape: int, seed: int) -> Tensor:
    return functional.normalize(torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def bpr(own: list[Tensor], others: list[Tensor]) -> Tensor:
    return torch.cat([functional.softplus(o - t) for t, o in zip(own, others, strict=True)]).mean()


def bce(own: list[Tensor], others: list[Tensor]) -> Tensor:
    told_apart = torch.cat([functional.logsigmoid(-o) for o in others]).mean()
    return -functional.logsigmoid(torch.stack(own)).mean() - told_apart


def test_every_loss_that_can_be_configured_exists() -> None:
    for name in LOSSES:
        assert NetConfig.model_validate({"loss": name}).loss == name


@pytest.mark.parametrize("prior", [None, torch.linspace(-2, 3, V)])
@pytest.mark.parametrize("interests", [1, 3])
@pytest.mark.parametrize(("loss", "formula"), [(bpr_loss, bpr), (bce_loss, bce)])
def test_the_loss_is_its_formula(
    interests: int,
    loss: Callable[..., Tensor],
    formula: Callable[[list[Tensor], list[Tensor]], Tensor],
    prior: Tensor | None,
) -> None:
    users, items, temperature = vectors(4, interests, seed=0), vectors(V, seed=1), torch.tensor(5.0)
    own, others = [], []
    for query, target in zip(QUERY.tolist(), TARGET.tolist(), strict=True):
        logits = temperature * (users[query] @ items.T).amax(dim=0) + (0 if prior is None else prior)
        own.append(logits[target])
        others.append(logits[[n for n in CHOSEN.tolist() if n != target]])
    found = loss(Pairs(users, items, QUERY, TARGET, temperature, prior), Negatives(CHOSEN, torch.zeros(len(CHOSEN))))
    torch.testing.assert_close(found, formula(own, others))


@pytest.mark.parametrize("name", ["bpr", "bce"])
def test_gradients_pull_the_target_and_push_the_negatives(name: str) -> None:
    users, items = vectors(1, 1, seed=0), vectors(V, seed=1).requires_grad_()
    pair = torch.tensor([0]), torch.tensor([7])
    negatives = Negatives(torch.tensor([7, 8]), torch.zeros(2))
    loss = LOSSES[name](Pairs(users, items, *pair, torch.tensor(5.0)), negatives)
    (gradient,) = torch.autograd.grad(loss, items)
    towards = (gradient @ users[0, 0]).nonzero().squeeze(1).tolist()
    assert towards == [7, 8]
    assert gradient[7] @ users[0, 0] < 0 < gradient[8] @ users[0, 0]
