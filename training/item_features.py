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
        self.widths = widths
        self.projections = nn.ModuleList(nn.Linear(width, dim) for width in widths)
        self.gates = nn.Parameter(torch.zeros(len(widths)))
        for projection in self.projections:
            nn.init.normal_(projection.weight, std=0.02)
            nn.init.zeros_(projection.bias)

    def forward(self, x: Tensor) -> Tensor:
        """`[V, W + F]`, the features' columns and then whether each is known -> `[V, dim]`, 0 where none is."""
        columns, known = x[:, : sum(self.widths)], x[:, sum(self.widths) :]
        weight = known * self.gates.sigmoid()
        blocks = columns.split(self.widths, dim=1)
        projected = [projection(block) for projection, block in zip(self.projections, blocks, strict=True)]
        total = sum(w.unsqueeze(1) * p for w, p in zip(weight.unbind(dim=1), projected, strict=True))
        return total / weight.sum(dim=1, keepdim=True).clamp(min=1)
