"""Weights that are learned on the edges of a constant sparse matrix.

PyTorch differentiates neither through the values of a CSR matrix nor without transposing it in every step; here the
transposed matrix is at hand, and a gradient with respect to the edges is a product sampled at the edges.
"""

import warnings
from typing import Any

import torch
from torch import Tensor
from torch_geometric.utils import softmax

from training.item_graph import Adjacency


def edge_products(q: Tensor, k: Tensor, edges: Adjacency) -> Tensor:
    """q_i · k_j for each edge (i, j), in the order of the matrix: `[n, d]`, `[m, d] -> [E]`."""
    products: Tensor = _Products.apply(q.contiguous(), k.contiguous(), edges)  # type: ignore[no-untyped-call]  # torch has no types there
    return products


def edge_softmax(logits: Tensor, edges: Adjacency) -> Tensor:
    """`[E] -> [E]`: over the edges of each row."""
    weights: Tensor = softmax(logits, ptr=edges.offsets)
    return weights


def edge_means(weights: Tensor, x: Tensor, edges: Adjacency) -> Tensor:
    """Σ_j w_ij x_j with other weights `[E]` on the same edges: `[m, dim] -> [n, dim]`."""
    means: Tensor = _Means.apply(weights.contiguous(), x.contiguous(), edges)  # type: ignore[no-untyped-call]  # torch has no types there
    return means


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, edges: Adjacency) -> Tensor:
        ctx.save_for_backward(q, k)
        ctx.edges = edges
        return _sampled(q, k, edges)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        q, k = ctx.saved_tensors
        g, edges = gradients[0].contiguous(), ctx.edges
        return _with(g, edges.matrix) @ k, _with(g[edges.order], edges.transposed) @ q, None


class _Means(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weights: Tensor, x: Tensor, edges: Adjacency) -> Tensor:
        ctx.save_for_backward(weights, x)
        ctx.edges = edges
        return _with(weights, edges.matrix) @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, x = ctx.saved_tensors
        g, edges = gradients[0].contiguous(), ctx.edges
        return _sampled(g, x, edges), _with(weights[edges.order], edges.transposed) @ g, None


def _sampled(q: Tensor, k: Tensor, edges: Adjacency) -> Tensor:
    nothing = _with(torch.zeros_like(edges.matrix.values()), edges.matrix)
    sampled: Tensor = torch.sparse.sampled_addmm(nothing, q, k.T, beta=0.0).values()
    return sampled


def _with(values: Tensor, matrix: Tensor) -> Tensor:
    """The matrix with other values on its edges."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            matrix.crow_indices(), matrix.col_indices(), values, size=matrix.shape, check_invariants=False
        )
