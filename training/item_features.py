"""Features of items as vectors: each projected, each behind a gate of its own, and the mean of those that are present.

    content = Σ_f m_f · g_f · P_f x_f / max(1, Σ_f m_f · g_f)        m: whether the item has f, g = sigmoid of a weight

An item that lacks a text is as near to the others by its picture as if no text were asked for.
"""

import torch
from torch import Tensor, nn


class ItemFeatures(nn.Module):
    """`widths`: columns of each feature."""

    def __init__(self, widths: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.widths, self.dim = widths, dim
        projections = [nn.Linear(width, dim) for width in widths]
        for projection in projections:
            nn.init.normal_(projection.weight, std=0.02)
            nn.init.zeros_(projection.bias)
        self.projections = nn.ModuleList(projections)
        self.gates = nn.Parameter(torch.zeros(len(widths)))

    def forward(self, x: Tensor) -> Tensor:
        """`[V, W + F]`, the features' columns and then whether each is known -> `[V, dim]`, 0 where none is."""
        *blocks, known = torch.split_with_sizes(x, [*self.widths, len(self.widths)], dim=1)
        weight = known * self.gates.sigmoid()
        total = x.new_zeros(len(x), self.dim)
        for place, (projection, block) in enumerate(zip(self.projections, blocks, strict=True)):
            total = total + weight[:, place : place + 1] * projection(block)
        return total / weight.sum(dim=1, keepdim=True).clamp(min=1)
