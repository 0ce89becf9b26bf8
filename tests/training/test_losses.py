"""The loss against PyTorch's own cross entropy, and its estimate against the exact value."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.config import NetConfig
from training.losses import sample_negatives, softmax_loss

V, DIM = 60, 8


def vectors(*shape: int, seed: int) -> Tensor:
    return functional.normalize(torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_all_items_as_negatives_give_the_exact_cross_entropy() -> None:
    users, items = vectors(5, 1, seed=0), vectors(V, seed=1)
    target = torch.tensor([3, 59, 0, 7, 7])
    loss = softmax_loss(users, items, torch.arange(5), target, torch.arange(V), torch.tensor(14.0))
    torch.testing.assert_close(loss, functional.cross_entropy(14 * users[:, 0] @ items.T, target))


def test_targets_of_one_basket_do_not_push_each_other_away() -> None:
    users, items = vectors(2, 1, seed=0), vectors(V, seed=1)
    query, target = torch.tensor([0, 0, 1]), torch.tensor([3, 4, 5])
    logits = 14 * users[query, 0] @ items.T
    logits[0, 4] = logits[1, 3] = -torch.inf
    loss = softmax_loss(users, items, query, target, torch.arange(V), torch.tensor(14.0))
    torch.testing.assert_close(loss, functional.cross_entropy(logits, target))


def test_several_interests_take_the_nearest() -> None:
    users, items = vectors(4, 3, seed=0), vectors(V, seed=1)
    target = torch.tensor([1, 2, 3, 4])
    loss = softmax_loss(users, items, torch.arange(4), target, torch.arange(V), torch.tensor(14.0))
    torch.testing.assert_close(loss, functional.cross_entropy(14 * (users @ items.T).amax(dim=1), target))


@pytest.mark.parametrize("interests", [1, 3])
def test_gradients_reach_users_items_and_temperature(interests: int) -> None:
    users = vectors(4, interests, seed=0).double().requires_grad_()
    items = vectors(V, seed=1).double().requires_grad_()
    temperature = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    query, target, negatives = torch.tensor([0, 0, 1, 3]), torch.tensor([3, 4, 5, 6]), torch.arange(0, 30, 3)

    def exact(users: Tensor, items: Tensor, temperature: Tensor) -> Tensor:
        """The formula, pair by pair."""
        losses = []
        for q, t in zip(query.tolist(), target.tolist(), strict=True):
            own = set(target[query == q].tolist())
            others = [n for n in negatives.tolist() if n not in own]
            logits = temperature * (users[q] @ items.T).amax(dim=0)
            total = logits[others].exp().sum() * V / len(negatives)
            losses.append(torch.log(logits[t].exp() + total) - logits[t])
        return torch.stack(losses).mean()

    ours = torch.autograd.grad(
        softmax_loss(users, items, query, target, negatives, temperature), (users, items, temperature)
    )
    theirs = torch.autograd.grad(exact(users, items, temperature), (users, items, temperature))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)  # the loss itself is float32
        assert b.abs().max() > 1e-3


def test_sampled_negatives_estimate_the_exact_loss() -> None:
    torch.manual_seed(0)
    users, items = vectors(50, 1, seed=0), vectors(2_000, seed=1)
    target, query = torch.arange(50), torch.arange(50)
    exact = softmax_loss(users, items, query, target, torch.arange(2_000), torch.tensor(4.0))
    config = NetConfig(negatives=500)
    estimates = [
        softmax_loss(users, items, query, target, sample_negatives(2_000, config, items.device), torch.tensor(4.0))
        for _ in range(20)
    ]
    assert float(torch.stack(estimates).mean()) == pytest.approx(float(exact), abs=0.01)
    # without the correction the sum would be a quarter, and the loss lower by log 4
    assert math.log(4) > 10 * 0.01


def test_negatives_are_distinct_and_all_items_of_a_small_catalog() -> None:
    some = sample_negatives(1_000, NetConfig(negatives=100), torch.device("cpu"))
    assert len(set(some.tolist())) == 100
    assert sample_negatives(50, NetConfig(negatives=100), torch.device("cpu")).tolist() == list(range(50))
