"""The net, on one screen: a HeteroData and what users did in, unit vectors of items and interests out.

    item     id embedding (in training dropped for some) + mean of its categories' embeddings, up to the root
             + its features, projected and gated
             -> graph encoder over the relations between items, less what all have   -> unit vector  [V, dim]
    user     for each step (an event or a basket) the mean of its items' vectors
             + event kind + time since the step before + place
             -> causal sequence encoder                                              -> K unit vectors [K, dim]
    answer   log p(item | user) = log softmax over the catalog of temperature · cosine + log prior

No embedding belongs to a user: a new event moves the vector at once, and an erased user leaves nothing behind.
"""

import math
from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import HeteroData

from graph.features.encoder import FeatureEncoder
from graph.histories import Histories
from training.batches import GAP_BUCKETS, Batch, bucketed, make_batch, newest_windows
from training.config import NetConfig
from training.graph_encoder import GraphEncoder
from training.item_features import ItemFeatures
from training.item_graph import ItemGraph, read_graph
from training.sequence_encoder import make_sequence_encoder
from training.unit_vectors import unit

_ENCODER = "encoder-"
"""Before the names of what the encoder of features has learned, in a `state_dict`."""


class SingleNet(nn.Module):
    """One independently initialised net; see the picture above."""

    def __init__(
        self, config: NetConfig, n_items: int, n_categories: int, n_kinds: int, widths: tuple[int, ...] = ()
    ) -> None:
        """widths: the columns of each of the items' features."""
        super().__init__()
        self.config = config
        self.interests, dim = config.interests, config.dim
        # The last row of a table stands for what the net was not trained on, and stays zero.
        self.item = nn.Embedding(n_items + 1, dim, padding_idx=n_items)
        self.category = nn.Embedding(n_categories + 1, dim, padding_idx=n_categories)
        self.kind = nn.Embedding(n_kinds + 1, dim, padding_idx=n_kinds)
        self.gap = nn.Embedding(GAP_BUCKETS, dim)
        self.place = nn.Embedding(config.max_history + 1, dim)
        self.features = ItemFeatures(widths, dim) if widths else None
        self.graph_encoder = GraphEncoder(config)
        self.sequence_encoder = make_sequence_encoder(config)
        self.to_interests = nn.Linear(dim, config.interests * dim) if config.interests > 1 else nn.Identity()
        self.dropout = nn.Dropout(config.dropout)
        self.log_temperature = nn.Parameter(torch.tensor(-math.log(0.07)))
        for table in (self.item, self.category, self.kind, self.gap, self.place):
            nn.init.normal_(table.weight, std=0.02)
            if table.padding_idx is not None:
                nn.init.zeros_(table.weight[table.padding_idx])

    def item_vectors(self, graph: ItemGraph, item_rows: Tensor, category_rows: Tensor) -> Tensor:
        """`[V, dim]`, unit length; the rows say where the graph's items and categories stand in the tables."""
        items = self.item(item_rows)
        if self.training and self.config.id_dropout:
            items = items * (torch.rand(len(items), 1, device=items.device) >= self.config.id_dropout)
        if self.config.categories:
            items = items + graph.categories.mean(self.category(category_rows))
        if self.features is not None:
            items = items + self.features(graph.features)
        return unit(self.graph_encoder(items, graph.relations), graph.share if self.config.centered else None)

    def user_vectors(self, items: Tensor, batch: Batch) -> Tensor:
        """`[B, T, K, dim]`, unit length: the interests at each position of each sequence."""
        rows, width = batch.gap.shape
        states = self.to_interests(self.sequence_encoder(self._steps(items, batch)))
        return unit(states.view(rows, width, self.interests, -1))

    def last_user_vectors(self, items: Tensor, batch: Batch) -> Tensor:
        """`[B, K, dim]`: those at the position that has seen everything."""
        rows, width = batch.gap.shape
        at = batch.last - torch.arange(rows, device=batch.last.device) * width
        states = self.to_interests(self.sequence_encoder.last(self._steps(items, batch), at))
        return unit(states.view(rows, self.interests, -1))

    def _steps(self, items: Tensor, batch: Batch) -> Tensor:
        """`[B, T, dim]`: what happened in each step."""
        rows, width = batch.gap.shape
        events = functional.embedding(batch.event_item, items)
        if self.config.kinds:
            events = events + self.kind(batch.event_kind.clamp(max=self.kind.num_embeddings - 1))
        total = events.new_zeros(rows * width, events.shape[1]).index_add(0, batch.event_position, events)
        size = torch.bincount(batch.event_position, minlength=rows * width).clamp(min=1).unsqueeze(1)
        steps = (total / size).view(rows, width, -1)
        if self.config.gaps:
            steps = steps + self.gap(batch.gap)
        if self.config.places:
            steps = steps + self.place.weight[:width]
        dropped: Tensor = self.dropout(steps)
        return dropped


class InterestNet(nn.Module):
    """`config.nets` nets that serve as one: vectors side by side, so that one cosine is the average of their logits.

    With temperatures τ_i the parts are scaled by √(τ_i / Σ τ): then mean(τ) · cosine = mean of τ_i · cosine_i.
    A published net may turn what leaves it, and turns back the item vectors that it is given: no cosine changes.
    """

    item_ids: Tensor
    category_ids: Tensor
    rotation: Tensor | None
    """`[vector_dim, vector_dim]`, orthogonal: turns all vectors that leave the net (alignment.py); None: none."""

    def __init__(
        self,
        config: NetConfig,
        item_ids: Tensor,
        category_ids: Tensor,
        n_kinds: int,
        encoder: FeatureEncoder | None = None,
    ) -> None:
        """item_ids, category_ids: int64, ascending `node_id`s of the training graph, the rows of the tables.

        encoder: that of the training graph's features, for the graphs that are to come; None where there are none.
        """
        super().__init__()
        self.config = config
        self.encoder: FeatureEncoder | None = encoder
        for name, array in encoder.state().items() if encoder else ():
            self.register_buffer(_ENCODER + name, torch.from_numpy(np.array(array)))
        self.register_buffer("item_ids", item_ids.clone())
        self.register_buffer("category_ids", category_ids.clone())
        self.register_buffer("rotation", None)
        self.nets = nn.ModuleList(
            SingleNet(config, len(item_ids), len(category_ids), n_kinds, encoder.widths if encoder else ())
            for _ in range(config.nets)
        )

    @classmethod
    def from_state(cls, config: NetConfig, state: Mapping[str, Tensor], *, shared: bool = False) -> Self:
        """The net of a `state_dict`; sizes follow from the tensors. Ready to serve (eval mode).

        shared: its weights are the tensors of `state` themselves, which may be mapped from a file, and no copies.
        Raises KeyError or RuntimeError where config and tensors do not fit, before any memory is taken.
        """
        kept = {
            name.removeprefix(_ENCODER): part.cpu().numpy() for name, part in state.items() if name.startswith(_ENCODER)
        }
        encoder = FeatureEncoder.of_state(config.features, kept) if config.features else None
        sizes = config, state["item_ids"], state["category_ids"], len(state["nets.0.kind.weight"]) - 1, encoder
        with torch.device("meta"):
            planned = cls(*sizes)
        shapes = {name: part.shape for name, part in planned.state_dict().items()}
        if any(name in state and state[name].shape != shape for name, shape in shapes.items()):
            raise RuntimeError("tensors of other sizes than the settings say")
        net = planned if shared else cls(*sizes)
        if (rotation := state.get("rotation")) is not None:
            if rotation.shape != (config.vector_dim, config.vector_dim):
                raise RuntimeError("a rotation of other vectors than the settings say")
            net.register_buffer("rotation", torch.zeros_like(rotation))
        net.load_state_dict(state, assign=shared)
        return net.eval()

    @property
    def parts(self) -> list[SingleNet]:
        return [net for net in self.nets if isinstance(net, SingleNet)]

    @property
    def temperatures(self) -> Tensor:
        return torch.stack([net.log_temperature for net in self.parts]).exp()

    @property
    def temperature(self) -> float:
        """The factor on the cosine of served vectors."""
        return float(self.temperatures.detach().mean())

    def read(self, graph: HeteroData) -> ItemGraph:
        """The graph as this net reads it, on the net's device."""
        return read_graph(graph, self.config, self.item_ids.device)

    def category_rows(self, graph: ItemGraph) -> Tensor:
        """int64 `[C]`: where the graph's categories stand in the table."""
        return _rows(graph.category_ids, self.category_ids)

    def item_parts(self, graph: ItemGraph) -> list[Tensor]:
        """Each net's item vectors `[V, dim]`; the graph may hold other items than the training graph did."""
        item_rows = _rows(graph.item_ids, self.item_ids)
        category_rows = self.category_rows(graph)
        return [net.item_vectors(graph, item_rows, category_rows) for net in self.parts]

    @torch.no_grad()
    def item_vectors(self, graph: HeteroData | ItemGraph) -> Tensor:
        """`[V, vector_dim]`, unit length, one a node of the graph (a newer one too: nothing is trained here)."""
        return self._side_by_side(self.item_parts(graph if isinstance(graph, ItemGraph) else self.read(graph)))

    @torch.no_grad()
    def user_vectors(self, histories: Histories, items: Tensor, positions: int = 16_384) -> Tensor:
        """`[B, K, vector_dim]`, unit length, one row a history (an empty one is at the start, what a stranger likes).

        items: `[V, vector_dim]` from `item_vectors`; the histories' item indices are its rows.
        positions: how many steps, padding included, are encoded at once; a limit on memory, not on the answer.
        """
        windows = newest_windows(histories, self.config.max_history)
        own = items if self.rotation is None else items @ self.rotation.T
        parts = [unit(part) for part in own.chunk(self.config.nets, dim=-1)]
        users = items.new_zeros(len(histories), self.config.interests, items.shape[1])
        for rows in bucketed(windows.steps, positions):
            batch = make_batch(windows, rows, training=False).to(items.device)
            last = [net.last_user_vectors(part, batch) for net, part in zip(self.parts, parts, strict=True)]
            users[torch.from_numpy(rows).to(items.device)] = self._side_by_side(last).float()
        return users

    def _side_by_side(self, parts: list[Tensor]) -> Tensor:
        scales = (self.temperatures / self.temperatures.sum()).sqrt()
        vectors = torch.cat([scale * part for scale, part in zip(scales, parts, strict=True)], dim=-1)
        return vectors if self.rotation is None else vectors @ self.rotation


def _rows(ids: Tensor, known: Tensor) -> Tensor:
    """Where each id stands among the ascending `known`; len(known), the row of the unknown, where it does not."""
    place = torch.searchsorted(known, ids)
    found = (
        known[place.clamp(max=max(len(known) - 1, 0))] == ids if len(known) else torch.zeros_like(ids, dtype=torch.bool)
    )
    return torch.where(found, place, len(known))
