"""Items hear from each other: weighted means over the relations of the HeteroData, mixed with learned weights.

    X[l+1] = Σ_r softmax(w[l])_r · A_r X[l]          states of an item: the mean of X[0] … X[L]

Each A_r has rows that sum to 1 (or 0, for an item without neighbours). No weight matrices inside, after LightGCN
(He et al., 2020): with an embedding per item they only make training slower.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.config import NetConfig
from training.item_graph import Adjacency


class GraphEncoder(nn.Module):
    """The formula at the top of this file; `none` returns the items as they are."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.steps = config.propagation_steps if config.graph_encoder == "relational" else 0
        self.relation_weights = nn.Parameter(torch.zeros(self.steps, len(config.relations)))

    def forward(self, items: Tensor, relations: Sequence[Sequence[Adjacency]]) -> Tensor:
        """items: `[V, dim]` -> `[V, dim]`."""
        state = total = items
        for weights in self.relation_weights.softmax(dim=1):
            heard = [weight * _through(matrices, state) for weight, matrices in zip(weights, relations, strict=True)]
            state = functools.reduce(torch.add, heard)
            total = total + state
        return total / (1 + self.steps)


def _through(matrices: Sequence[Adjacency], x: Tensor) -> Tensor:
    for matrix in matrices:
        x = matrix.mean(x)
    return x
