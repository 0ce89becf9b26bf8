"""Items hear from each other over the relations of the HeteroData, step by step, as a mean over neighbours.

    X[l+1] = Σ_r w_r · A_r X[l]          states of an item: the mean of X[0] … X[L]

    lightgcn    w_r is a number, learned in each step, Σ w = 1
    directed    w_r is a number for each dimension: some dimensions hear what follows, others what came before
    attention   as lightgcn, but each A_r weighs its edges by what stands at their ends (edge_attention.py)

Each A_r has rows that sum to 1 (or 0, for an item without neighbours). No weight matrices between the steps, after
LightGCN (He et al., 2020): with an embedding per item they only make training slower.
"""

import functools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from training.config import NetConfig
from training.edge_attention import EdgeAttention
from training.item_graph import Adjacency


class GraphEncoder(nn.Module):
    """The formula at the top of this file; `none` returns the items as they are."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        n_relations = len(config.relations)
        self.steps = 0 if config.graph_encoder == "none" else config.propagation_steps
        if config.graph_encoder == "directed":
            # Not all dimensions alike, or none would ever learn to differ.
            self.relation_weights = nn.Parameter(torch.randn(self.steps, n_relations, config.dim))
        else:
            self.relation_weights = nn.Parameter(torch.zeros(self.steps, n_relations))
        attends = config.graph_encoder == "attention"
        self.attention = nn.ModuleList(EdgeAttention(config.dim) for _ in range(attends * self.steps * n_relations))

    def forward(self, items: Tensor, relations: Sequence[Sequence[Adjacency]]) -> Tensor:
        """items: `[V, dim]` -> `[V, dim]`."""
        state = total = items
        for step, weights in enumerate(self.relation_weights.softmax(dim=1)):
            heard = [self._heard(state, step, r, relations[r]) for r in range(len(weights))]
            # One relation alone weighs 1.
            state = heard[0] if len(heard) == 1 else functools.reduce(torch.add, map(torch.mul, weights, heard))
            total = total + state
        return total / (1 + self.steps)

    def _heard(self, x: Tensor, step: int, relation: int, matrices: Sequence[Adjacency]) -> Tensor:
        """What the items hear over one relation; attention is paid along edges, not along paths over other nodes."""
        if self.attention and len(matrices) == 1:
            attended: Tensor = self.attention[step * self.relation_weights.shape[1] + relation](x, matrices[0])
            return attended
        for matrix in matrices:
            x = matrix.mean(x)
        return x
