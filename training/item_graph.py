"""What a net reads of a HeteroData: sparse matrices between items, and each item's categories up to the root."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch_geometric.data import HeteroData

from graph.schema import (
    CATEGORY,
    CATEGORY_CHILD_OF_CATEGORY,
    ITEM,
    ITEM_FOLLOWED_BY_ITEM,
    ITEM_IN_CATEGORY,
    USER,
    EdgeType,
)
from graph.sparse import keep_strongest
from training.config import NetConfig


class _Product(torch.autograd.Function):
    """A @ X for a constant sparse A; PyTorch's own backward would transpose A in every step."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, transposed: Tensor) -> Tensor:
        ctx.transposed = transposed
        return matrix @ x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.transposed @ gradients[0].contiguous(), None, None


@dataclass(frozen=True, eq=False)
class Adjacency:
    """A constant matrix `[n, m]` (CSR), rows summing to 1 (an empty row: to 0), with its transpose for the backward.

    `order` `[E]`: where each entry of `transposed` stands in `matrix`.
    """

    matrix: Tensor
    transposed: Tensor
    order: Tensor

    @classmethod
    def of(cls, weights: csr_array, device: torch.device) -> Self:
        total = np.repeat(np.asarray(weights.sum(axis=1)).ravel(), np.diff(weights.indptr))
        rows = csr_array((weights.data / total, weights.indices, weights.indptr), shape=weights.shape)
        rows.sort_indices()
        number = csr_array((np.arange(rows.nnz), rows.indices, rows.indptr), shape=rows.shape).T.tocsr()
        number.sort_indices()
        turned = csr_array((rows.data[number.data], number.indices, number.indptr), shape=number.shape)
        return cls(_to_torch(rows, device), _to_torch(turned, device), torch.from_numpy(number.data).to(device))

    def mean(self, x: Tensor) -> Tensor:
        """`[m, dim] -> [n, dim]`, always in float32: half precision has no sparse kernels."""
        with torch.autocast(x.device.type, enabled=False):
            mean: Tensor = _Product.apply(x.float(), self.matrix, self.transposed)  # type: ignore[no-untyped-call]  # torch has no types there
        return mean

    @cached_property
    def log_weight(self) -> Tensor:
        """`[E]`, of the entries of `matrix`."""
        return self.matrix.values().log()

    @cached_property
    def offsets(self) -> Tensor:
        """int64 `[n + 1]`: where each row of `matrix` begins."""
        return self.matrix.crow_indices().long()


@dataclass(frozen=True)
class ItemGraph:
    """Ready for the device. `relations`: for each the matrices to pass through, one after the other, item to item."""

    item_ids: Tensor
    category_ids: Tensor
    categories: Adjacency
    share: Tensor
    """`[V]`, of all that users did, weights of the edges; 0 without events."""
    relations: tuple[tuple[Adjacency, ...], ...]
    features: Tensor | None = None
    """`[V, W + F]`, as a FeatureEncoder gives them; None where the config names none."""


def read_graph(graph: HeteroData, config: NetConfig, device: torch.device) -> ItemGraph:
    """The item relations that `config` names, pruned and normalised, and the categories of each item, ancestors too."""
    paths = _category_paths(graph) if config.hierarchy else _matrix(graph, ITEM_IN_CATEGORY)
    relations: list[tuple[Adjacency, ...]] = []
    for name in config.relations if config.graph_encoder != "none" else ():
        if name == "shared_user":
            users = _user_item(graph)
            relations.append((Adjacency.of(users, device), Adjacency.of(users.T.tocsr(), device)))
        elif name == "shared_category":
            relations.append((Adjacency.of(paths.T.tocsr(), device), Adjacency.of(paths, device)))
        else:
            relations.append((Adjacency.of(_neighbours(graph, name, config), device),))
    weight = torch.from_numpy(np.asarray(_user_item(graph).sum(axis=0), np.float32)).to(device)
    return ItemGraph(
        item_ids=graph[ITEM].node_id.to(device),
        category_ids=graph[CATEGORY].node_id.to(device),
        categories=Adjacency.of(paths, device),
        share=weight / weight.sum().clamp(min=1e-12),
        relations=tuple(relations),
        features=graph[ITEM].x.to(device) if config.features else None,
    )


def _neighbours(graph: HeteroData, name: str, config: NetConfig) -> csr_array:
    """Weights [V, V] of what followed (`forward`), what came before (`backward`), or both added up (`neighbours`).

    What stands next to everything (milk) tells nothing: `hub_damping` divides a neighbour's weights by a power of their
    sum over all rows, before the strongest are chosen.
    """
    follows = _matrix(graph, ITEM_FOLLOWED_BY_ITEM)
    weights = {"forward": follows, "backward": follows.T.tocsr(), "neighbours": (follows + follows.T).tocsr()}[name]
    if config.min_item_users > 1:
        known = np.bincount(_user_item(graph).indices, minlength=weights.shape[0]) >= config.min_item_users
        weights.data *= known[weights.indices] & np.repeat(known, np.diff(weights.indptr))
    if config.hub_damping:
        total = np.bincount(weights.indices, weights.data, minlength=weights.shape[0])
        weights.data /= (np.maximum(total[weights.indices], 1e-12) ** config.hub_damping).astype(np.float32)
    return keep_strongest(weights, config.keep_neighbours)


def _user_item(graph: HeteroData) -> csr_array:
    """Weights [U, V] of all event kinds that speak for an item together."""
    between = [edge for edge in graph.edge_types if edge[0] == USER and edge[2] == ITEM]
    edges = [edge for edge in between if graph[edge].get("sign", 1) > 0]
    total = csr_array((graph[USER].num_nodes, graph[ITEM].num_nodes), dtype=np.float32)
    for edge in edges:
        total = (total + _matrix(graph, edge)).tocsr()
    return total


def _category_paths(graph: HeteroData) -> csr_array:
    """[V, C], 1 for each category of an item and for all categories above them."""
    parent = _matrix(graph, CATEGORY_CHILD_OF_CATEGORY)
    paths = reached = _matrix(graph, ITEM_IN_CATEGORY)
    while reached.nnz:  # ends, as the tree has no cycles: each round climbs one level
        reached = (reached @ parent).tocsr()
        paths = (paths + reached).tocsr()
    paths.data = np.ones(paths.nnz, np.float32)
    return paths


def _matrix(graph: HeteroData, edge: EdgeType) -> csr_array:
    """The weights of one edge type, [sources, targets]; empty where the graph has no such edge."""
    shape = (graph[edge[0]].num_nodes, graph[edge[2]].num_nodes)
    if edge not in graph.edge_types:
        return csr_array(shape, dtype=np.float32)
    ends, weight = graph[edge].edge_index.numpy(), graph[edge].edge_weight.numpy()
    return csr_array((weight, (ends[0], ends[1])), shape=shape)


def _to_torch(matrix: csr_array, device: torch.device) -> Tensor:
    matrix.sort_indices()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),  # int32: a third faster than int64
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            device=device,
            check_invariants=False,
        )
