"""The loss against PyTorch's own cross entropy, and its estimate against the exact value."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.config import NetConfig
from training.losses import Negatives, Pairs, negative_proposal, sample_negatives, softmax_loss

V, DIM = 60, 8


def vectors(*shape: int, seed: int) -> Tensor:
    return functional.normalize(torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


ALL = Negatives(torch.arange(V), torch.zeros(V))


def test_all_items_as_negatives_give_the_exact_cross_entropy() -> None:
    users, items = vectors(5, 1, seed=0), vectors(V, seed=1)
    target = torch.tensor([3, 59, 0, 7, 7])
    loss = softmax_loss(Pairs(users, items, torch.arange(5), target, torch.tensor(14.0)), ALL)
    torch.testing.assert_close(loss, functional.cross_entropy(14 * users[:, 0] @ items.T, target))


def test_targets_of_one_basket_do_not_push_each_other_away() -> None:
    users, items = vectors(2, 1, seed=0), vectors(V, seed=1)
    query, target = torch.tensor([0, 0, 1]), torch.tensor([3, 4, 5])
    logits = 14 * users[query, 0] @ items.T
    logits[0, 4] = logits[1, 3] = -torch.inf
    loss = softmax_loss(Pairs(users, items, query, target, torch.tensor(14.0)), ALL)
    torch.testing.assert_close(loss, functional.cross_entropy(logits, target))


@pytest.mark.parametrize("interests", [1, 3])
def test_the_prior_is_added_to_the_logits_of_targets_and_negatives(interests: int) -> None:
    users, items, prior = vectors(4, interests, seed=0), vectors(V, seed=1), torch.linspace(-2, 3, V)
    target = torch.tensor([1, 2, 3, 59])
    loss = softmax_loss(Pairs(users, items, torch.arange(4), target, torch.tensor(14.0), prior), ALL)
    torch.testing.assert_close(loss, functional.cross_entropy(14 * (users @ items.T).amax(dim=1) + prior, target))


def test_several_interests_take_the_nearest() -> None:
    users, items = vectors(4, 3, seed=0), vectors(V, seed=1)
    target = torch.tensor([1, 2, 3, 4])
    loss = softmax_loss(Pairs(users, items, torch.arange(4), target, torch.tensor(14.0)), ALL)
    torch.testing.assert_close(loss, functional.cross_entropy(14 * (users @ items.T).amax(dim=1), target))


@pytest.mark.parametrize("interests", [1, 3])
def test_gradients_reach_users_items_and_temperature(interests: int) -> None:
    users = vectors(4, interests, seed=0).double().requires_grad_()
    items = vectors(V, seed=1).double().requires_grad_()
    temperature = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    query, target, chosen = torch.tensor([0, 0, 1, 3]), torch.tensor([3, 4, 5, 6]), torch.arange(0, 30, 3)
    negatives = Negatives(chosen, torch.linspace(0.5, 2, len(chosen)))

    def exact(users: Tensor, items: Tensor, temperature: Tensor) -> Tensor:
        """The formula, pair by pair."""
        losses = []
        for q, t in zip(query.tolist(), target.tolist(), strict=True):
            own = set(target[query == q].tolist())
            others = [k for k, n in enumerate(chosen.tolist()) if n not in own]
            logits = temperature * (users[q] @ items.T).amax(dim=0)
            total = (logits[chosen[others]] + negatives.log_weight[others]).exp().sum()
            losses.append(torch.log(logits[t].exp() + total) - logits[t])
        return torch.stack(losses).mean()

    ours = torch.autograd.grad(
        softmax_loss(Pairs(users, items, query, target, temperature), negatives), (users, items, temperature)
    )
    theirs = torch.autograd.grad(exact(users, items, temperature), (users, items, temperature))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)  # the loss itself is float32
        assert b.abs().max() > 1e-3


@pytest.mark.parametrize("popular", [0.0, 0.5])
def test_sampled_negatives_estimate_the_exact_loss(popular: float) -> None:
    torch.manual_seed(0)
    users, items = vectors(50, 1, seed=0), vectors(2_000, seed=1)
    target, query = torch.arange(50), torch.arange(50)
    pairs = Pairs(users, items, query, target, torch.tensor(4.0))
    everything = Negatives(torch.arange(2_000), torch.zeros(2_000))
    exact = softmax_loss(pairs, everything)
    config = NetConfig(negatives=500, popular_negatives=popular)
    proposal = negative_proposal(torch.arange(2_000) % 50 + 1, config)
    estimates = [softmax_loss(pairs, sample_negatives(proposal, config)) for _ in range(20)]
    # without the correction the sum would be a quarter, and the loss lower by log 4
    assert float(torch.stack(estimates).mean()) == pytest.approx(float(exact), abs=0.02)


def test_negatives_are_distinct_and_all_items_of_a_small_catalog() -> None:
    for popular in (0.0, 0.9):
        config = NetConfig(negatives=100, popular_negatives=popular)
        some = sample_negatives(negative_proposal(torch.arange(1_000) + 1, config), config)
        assert len(set(some.items.tolist())) == len(some.items) <= 100
        few = sample_negatives(negative_proposal(torch.arange(50) + 1, config), config)
        assert few.items.tolist() == list(range(50))
        assert not few.log_weight.any()


def test_popular_items_are_drawn_more_often() -> None:
    torch.manual_seed(0)
    config = NetConfig(negatives=100, popular_negatives=0.5)
    events = torch.ones(1_000)
    events[7] = 500
    proposal = negative_proposal(events, config)
    torch.testing.assert_close(proposal.sum(), torch.tensor(1.0))
    draws = [7 in sample_negatives(proposal, config).items for _ in range(50)]
    assert sum(draws) == 50  # drawn uniformly it would be there in one of ten


@pytest.mark.parametrize("popular", [0.0, 0.5])
def test_items_without_events_are_never_drawn(popular: float) -> None:
    events = torch.arange(400) % 4
    for n in (100, 1_000):
        config = NetConfig(negatives=n, popular_negatives=popular)
        drawn = sample_negatives(negative_proposal(events, config), config)
        assert (events[drawn.items] > 0).all()
        assert len(drawn.items) == len(set(drawn.items.tolist())) <= min(n, 300)
