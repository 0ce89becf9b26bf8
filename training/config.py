"""The settings of a net, a frozen value that travels with its weights, and the rules that choose it from sizes."""

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from graph.features.number import Scaling

GraphEncoderName = Literal["lightgcn", "directed", "attention", "none"]
RelationName = Literal["neighbours", "forward", "backward", "shared_user", "shared_category"]


class NetConfig(BaseModel):
    """Everything that shapes a net and its training. Unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # items
    dim: int = Field(default=128, gt=0, description="width of one net's vectors")
    graph_encoder: GraphEncoderName = "attention"
    relations: tuple[RelationName, ...] = Field(
        default_factory=lambda earlier: (
            ("forward", "backward") if earlier["graph_encoder"] == "directed" else ("neighbours",)
        ),
        min_length=1,
        description="over which items hear from each other; directed: forward, backward",
    )
    propagation_steps: int = Field(default=3, ge=1, le=64, description="how far an item hears from others in the graph")
    keep_neighbours: int = Field(default=50, gt=0, description="strongest neighbours an item hears")
    hub_damping: float = Field(default=0.0, ge=0, le=1, description="0: a neighbour counts as it is; 1: by its share")
    min_item_users: int = Field(default=1, ge=1, description="items with fewer users stay out of the graph")
    categories: bool = Field(default=True, description="items hear from their categories")
    hierarchy: bool = Field(default=True, description="and from all categories above these, up to the root")

    features: tuple[str, ...] = Field(default=(), description="attributes of items that the net reads")
    feature_scaling: Scaling = Field(default="standard", description="how numbers are scaled, on the training window")

    id_dropout: float = Field(default=0.0, ge=0, lt=1, description="share of items a batch that stand without their id")

    centered: bool = Field(default=False, description="item vectors less their mean, each weighed by its events")

    # users
    sequence_encoder: Literal["transformer", "gru", "lstm", "cnn", "mean"] = "transformer"
    blocks: int = Field(default=1, gt=0, le=64)
    heads: int = Field(default=2, gt=0, le=64, description="attention heads (transformer only)")
    dropout: float = Field(default=0.5, ge=0, lt=1)
    max_history: int = Field(default=50, gt=0, description="newest steps (events or baskets) of a user")
    kinds: bool = Field(default=True, description="a step tells of what kind its events are")
    gaps: bool = Field(default=True, description="a step tells how long after the one before it came")
    places: bool = Field(default=True, description="a step tells its place in the history")
    long_term: bool = Field(default=False, description="the mean of all steps goes past the sequence encoder as well")
    interests: int = Field(default=1, gt=0, le=64, description="vectors a user")
    nets: int = Field(default=1, gt=0, le=64, description="independent nets, served as one concatenated vector")

    # training
    loss: Literal["softmax", "bpr", "bce"] = "softmax"
    category_loss: float = Field(default=0.0, ge=0, description="weight of guessing the next item's categories as well")
    negatives: int = Field(default=2048, gt=0, description="shared a batch; all items where there are fewer")
    popularity_prior: float = Field(
        default=0.0, ge=0, le=1, description="power of an item's share of events that multiplies its probability"
    )
    popular_negatives: float = Field(default=0.0, ge=0, lt=1, description="share drawn by popularity, the rest uniform")
    batch_positions: int = Field(default=4000, gt=0, description="positions (steps, padding included) a batch")
    learning_rate: float = Field(default=2e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    ema: float = Field(default=0.995, ge=0, lt=1, description="decay of the average of weights, per optimiser step")
    epochs: int = Field(default=40, gt=0)
    patience: int = Field(default=4, gt=0, description="epochs without a better validation metric before it stops")
    seed: int = 0

    @field_validator("graph_encoder", mode="before")
    @classmethod
    def _renamed(cls, name: object) -> object:
        """Revisions of 0.1.0 call it so."""
        return "lightgcn" if name == "relational" else name

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sequence_encoder == "transformer" and self.dim % self.heads:
            raise ValueError(f"dim {self.dim} must be a multiple of heads {self.heads}")
        if self.nets > 1 and self.interests > 1:
            raise ValueError("several nets exclude several interests: interests of two nets have no common order")
        return self

    @property
    def vector_dim(self) -> int:
        """Width of the vectors that are served: the nets' vectors side by side."""
        return self.dim * self.nets


@dataclass(frozen=True)
class Sizes:
    """What `default_config` may look at: counts alone, never a metric."""

    users: int
    items: int
    events: int
    steps: int
    """Sets of events of one user at one instant; equals `events` where no two events share an instant."""


def default_config(sizes: Sizes) -> NetConfig:
    """All rules that adapt a net to its data, in one place; from sizes alone, so nothing is tuned on held-out data."""
    big_catalog = sizes.items > 50_000
    return NetConfig(
        # A row of the item table costs its width in every batch: weights, optimiser and propagation all pass over it.
        dim=64 if big_catalog else 128,
        propagation_steps=1 if big_catalog else 3,
        keep_neighbours=20 if big_catalog else 50,
        # Attention along the edges costs as much again as the rest of the net where there are millions of them.
        graph_encoder="lightgcn" if big_catalog else "attention",
        # What helps items of few events; of many there are too many categories to guess in every step.
        category_loss=0.0 if big_catalog else 0.2,
        # With few events an item's id says little; a large catalog would spend its time on such items.
        min_item_users=5 if big_catalog else 1,
        # A few items stand next to everything in a large catalog: as neighbours they say nothing, and uniform negatives
        # meet them too seldom to learn how often they are bought.
        hub_damping=1.0 if big_catalog else 0.0,
        popular_negatives=0.5 if big_catalog else 0.0,
        # Half of the net is dropped where there is little to learn from, little where events abound.
        dropout=0.5 if sizes.events < 500_000 else 0.2,
        # What stands for an item without events is learned along; known items lose nothing by it where categories tell
        # much of an item. In a large catalog they lose a tenth of their NDCG.
        id_dropout=0.0 if big_catalog else 0.15,
        # What all items share tells none from another; nets of 0.1.0 do not know these two.
        centered=True,
        long_term=True,
        # Where few items have most of the events, vectors would say how popular an item is and nothing else.
        popularity_prior=1.0 if big_catalog else 0.0,
        max_history=50 if sizes.steps < 30 * sizes.users else 100,
        # Baskets bring many targets a position; fewer positions a batch then, so that an epoch has its hundred batches.
        batch_positions=max(1_000, min(4_000, 4_000 * sizes.steps // max(sizes.events, 1))),
        epochs=40 if sizes.events < 500_000 else 3,
    )
