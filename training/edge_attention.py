"""How much an item hears of each neighbour: what the graph counted, times what the two items say.

    a_ij = softmax_j(β · log w_ij + q(x_i) · k(x_j) / √d + h(x_j))

Dot products along edges as in the heterogeneous graph transformer (Hu et al., 2020), with the counted weight as prior;
at first they are 0 and the mean is that of the counts. h learns of which items nothing is to be learned: hubs.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.edges import edge_means, edge_products, edge_softmax
from training.item_graph import Adjacency

WIDTH = 32
"""Of queries and keys: they say whom to listen to, not what is heard."""


class EdgeAttention(nn.Module):
    """The formula at the top of this file, for one relation in one step."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.query = nn.Linear(dim, WIDTH, bias=False)
        self.key = nn.Linear(dim, WIDTH, bias=False)
        self.hub = nn.Linear(dim, 1, bias=False)
        self.prior = nn.Parameter(torch.ones(()))
        nn.init.zeros_(self.query.weight)
        nn.init.zeros_(self.hub.weight)

    def forward(self, x: Tensor, edges: Adjacency) -> Tensor:
        """x: `[V, dim]` -> `[V, dim]`, in float32: half precision has no sparse kernels."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            # Of unit variance: at first all vectors are short, and their products would be nothing.
            ends = functional.normalize(x, dim=-1) * math.sqrt(x.shape[1])
            query, key = self.query(ends) / math.sqrt(WIDTH), self.key(ends)
            query = torch.cat([query, torch.ones_like(query[:, :1])], dim=1)
            key = torch.cat([key, self.hub(ends)], dim=1)
            logits = self.prior * edges.log_weight + edge_products(query, key, edges)
            return edge_means(edge_softmax(logits, edges), x, edges)
