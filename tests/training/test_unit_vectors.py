"""Unit vectors and their gradients, against PyTorch's own."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from training.unit_vectors import unit


def share_of(n: int, *, centered: bool) -> Tensor | None:
    return torch.rand(n, generator=torch.Generator().manual_seed(1)).softmax(dim=0) if centered else None


def plainly(x: Tensor, share: Tensor | None) -> Tensor:
    return functional.normalize(x if share is None else x - share @ x, dim=-1)


@pytest.mark.parametrize("centered", [False, True])
def test_vectors_and_gradients_are_those_of_normalize(centered: bool) -> None:
    x = torch.randn(40, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    share, towards = share_of(40, centered=centered), torch.randn(40, 8)
    ours, theirs = unit(x, share), plainly(x, share)
    torch.testing.assert_close(ours, theirs)
    ours, theirs = (torch.autograd.grad(found, x, towards)[0] for found in (ours, theirs))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_more_dimensions_and_zeros() -> None:
    x = torch.randn(3, 4, 2, 8)
    x[1, 2, 0] = 0
    found = unit(x)
    torch.testing.assert_close(found, functional.normalize(x, dim=-1))
    assert not found[1, 2, 0].any()


def test_rows_of_zeros_stay_zeros_where_the_mean_is_taken_off() -> None:
    x, share, towards = torch.randn(5, 4), share_of(5, centered=True), torch.randn(5, 4)
    x[2] = 0
    x.requires_grad_()
    found, expected = unit(x, share), plainly(x, share) * (torch.arange(5) != 2).unsqueeze(1)
    torch.testing.assert_close(found, expected)
    ours, theirs = (torch.autograd.grad(y, x, towards)[0] for y in (found, expected))
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_what_is_given_stays_as_it_is() -> None:
    x, share = torch.randn(5, 4), share_of(5, centered=True)
    before = x.clone()
    unit(x, share)
    unit(x)
    assert torch.equal(x, before)
