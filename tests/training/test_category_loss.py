"""The auxiliary loss against its plain form."""

import numpy as np
import torch
from scipy.sparse import csr_array

from training.category_loss import category_loss
from training.item_graph import Adjacency

OF_ITEMS = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 1]], np.float32)


def plain(users: torch.Tensor, query: list[int], target: list[int], categories: torch.Tensor) -> torch.Tensor:
    unit = torch.nn.functional.normalize(categories, dim=-1)
    total = torch.zeros(())
    for q, t in zip(query, target, strict=True):
        log_p = (3.0 * users[q] @ unit.T).amax(dim=0).log_softmax(dim=0)
        own = np.flatnonzero(OF_ITEMS[t])
        total = total - (log_p[own].mean() if len(own) else 0)
    return total / len(query)


def test_it_is_the_cross_entropy_of_the_targets_categories() -> None:
    users, categories = torch.randn(3, 2, 5).requires_grad_(), torch.randn(3, 5).requires_grad_()
    query, target = [0, 2, 2, 1], [3, 0, 1, 2]
    of_items = Adjacency.of(csr_array(OF_ITEMS), torch.device("cpu"))
    found = category_loss(users, torch.tensor(query), torch.tensor(target), of_items, categories, torch.tensor(3.0))
    expected = plain(users, query, target, categories)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found, (users, categories)), torch.autograd.grad(expected, (users, categories)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


def test_items_without_categories_teach_nothing() -> None:
    of_items = Adjacency.of(csr_array((4, 3), dtype=np.float32), torch.device("cpu"))
    users, categories = torch.randn(1, 1, 5), torch.randn(3, 5)
    loss = category_loss(users, torch.tensor([0]), torch.tensor([2]), of_items, categories, torch.tensor(1.0))
    assert loss == 0
