"""A snapshot as PyTorch Geometric's HeteroData: the graph that the encoder walks over.

nodes   user [U], item [I], category [C], in the order of the snapshot's indices; `node_id` counts them, and
        item.exists, item.available, category.exists tell what the catalog says as of the snapshot
edges   user -<kind>-> item               one per (user, item) for each kind with a sign and events, weights added up
        item -followed_by-> item          see graph/followed_by.py
        item -in-> category               weight 1
        category -child_of-> category     weight 1
        and each of them reversed (`rev_…`); every edge has `edge_weight` float32, finite and > 0

The weight of user-kind-item. One event weighs `strength · 2^((occurred_at − epoch) / half_life)`, the strength being
that of `graph/meaning.py`, a kind without half-life just its strength; an edge adds up its events. The epoch is fixed
when a graph is first built (by default its own as_of, so that weights read as of then). Against it nothing ever fades:
tomorrow the same edge with the same events still has the same number, today's events simply weigh more than 1, and the
weight as of any moment t is the stored one times a single factor per kind,
`decay_factor(kind, epoch, t) = 2^(−(t − epoch) / half_life)`.

Kinds with sign -1 (dislike) have their edge type and positive weights too; `data[edge].sign` tells them apart. Kinds
with sign 0 make no edges, and events whose value says the opposite of their kind or nothing (a low rating) none either.
"""

from collections.abc import Iterable

import numpy as np
import torch
from torch_geometric.data import HeteroData

from graph import schema
from graph.arrays import Float32s, Float64s, Int64s
from graph.events import Events
from graph.followed_by import followed_by
from graph.meaning import Meaning
from graph.schema import EdgeType
from graph.snapshot import Snapshot
from graph.sparse import Csr
from graph.storage.errors import BadInputError, PenchantError
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US
from graph.taxonomy import Taxonomy
from graph.threads import in_threads

MAX_DISTANCE, KEEP_NEIGHBOURS = 8, 50
_RESERVED = {schema.FOLLOWED_BY, schema.IN_CATEGORY, schema.CHILD_OF}

_FAINTEST = float(np.finfo(np.float32).tiny)
"""Interest fades but is never nothing: a weight of 0 would leave a user whose events are all old with 0 / 0."""
_STRONGEST = float(np.finfo(np.float32).max)
_MANY_HALF_LIVES = 900.0
"""Against an epoch that lies further back float64 would overflow before the weight is cut to what float32 holds."""


def build_graph(
    snapshot: Snapshot,
    *,
    max_distance: int = MAX_DISTANCE,
    keep_neighbours: int = KEEP_NEIGHBOURS,
    epoch_us: int | None = None,
) -> HeteroData:
    """The graph as of `snapshot.as_of`, validated.

    `max_distance`: steps that two items of a history may lie apart; `keep_neighbours`: the strongest followers kept of
    each item. `data.as_of`, `data.known_at` and `data.epoch_us` hold the times in microseconds.
    Raises BadInputError for settings out of range, for kinds whose names are taken and for a cycle of categories.
    """
    check_settings(max_distance, keep_neighbours)
    check_snapshot(snapshot)
    epoch = snapshot.as_of if epoch_us is None else epoch_us
    shape = (len(snapshot.users), len(snapshot.items))
    counted = (
        user_item(snapshot.events, index, kind, epoch, *shape) if kind.sign else None
        for index, kind in enumerate(snapshot.kinds)
    )
    follows = followed_by(snapshot, max_distance=max_distance, keep_neighbours=keep_neighbours)
    return assembled(snapshot, counted, follows, epoch)


def check_settings(max_distance: int, keep_neighbours: int) -> None:
    """Raises BadInputError for those out of range."""
    if max_distance < 1 or keep_neighbours < 1:
        raise BadInputError(
            f"max_distance {max_distance} and keep_neighbours {keep_neighbours} must both be at least 1.",
            hint=f"The defaults are {MAX_DISTANCE} and {KEEP_NEIGHBOURS}.",
        )


def check_snapshot(snapshot: Snapshot) -> None:
    """Raises BadInputError for what no graph can be made of."""
    taken = sorted(_RESERVED & {kind.name for kind in snapshot.kinds})
    if taken:
        raise BadInputError(f"The event kind {taken[0]!r} has the name of a relation of the graph.", hint="Rename it.")
    Taxonomy.of(snapshot)  # a cycle of categories would send every walk up the tree round in circles


def assembled(snapshot: Snapshot, user_item: Iterable[Csr | None], follows: Csr, epoch: int) -> HeteroData:
    """The graph of what was counted: for each kind float64 [U, I] against `epoch`, float32 [I, I] of what follows."""
    data = HeteroData()
    data.as_of, data.known_at, data.epoch_us = snapshot.as_of, snapshot.known_at, epoch
    for node, size in (
        (schema.USER, len(snapshot.users)),
        (schema.ITEM, len(snapshot.items)),
        (schema.CATEGORY, len(snapshot.categories)),
    ):
        data[node].num_nodes = size
        data[node].node_id = torch.arange(size)
    data[schema.ITEM].exists = torch.from_numpy(snapshot.item_exists)
    data[schema.ITEM].available = torch.from_numpy(snapshot.item_available)
    data[schema.CATEGORY].exists = torch.from_numpy(snapshot.category_exists)

    for kind, edges in zip(snapshot.kinds, in_threads(_edges, user_item), strict=True):
        if edges is not None:
            _add(data, schema.event_edge(kind.name), *edges)
            for edge in (schema.event_edge(kind.name), schema.reverse(schema.event_edge(kind.name))):
                data[edge].sign = kind.sign
    _add(data, schema.ITEM_FOLLOWED_BY_ITEM, _ends(follows), follows.data)
    item, category = snapshot.item_category.astype(np.int64)
    _add(data, schema.ITEM_IN_CATEGORY, np.stack([item, category, item]))
    child = np.flatnonzero(snapshot.category_parent >= 0)
    parent = snapshot.category_parent[child].astype(np.int64)
    _add(data, schema.CATEGORY_CHILD_OF_CATEGORY, np.stack([child, parent, child]))
    check_graph(data)
    return data


def decay_factor(kind: EventKind, epoch_us: int, t_us: int) -> float:
    """What turns a weight kept against `epoch_us` into the weight as of `t_us`."""
    return 1.0 if kind.half_life_days is None else float(2.0 ** (-(t_us - epoch_us) / (kind.half_life_days * DAY_US)))


def check_graph(data: HeteroData) -> None:
    """Raises PenchantError, naming the edge type, unless every edge lies between nodes and weighs something finite.

    What PyTorch Geometric's own `validate` looks for and more, in one pass over memory that an edge type and its
    reverse share.
    """
    looked_at: set[tuple[str, int]] = set()
    for edge_type in data.edge_types:
        index, weight = data[edge_type].edge_index, data[edge_type].edge_weight
        name = " ".join(edge_type)
        if index.dtype != torch.int64 or index.dim() != 2 or index.size(0) != 2:
            raise PenchantError(f"{name}: edges are not int64 [2, E].", reason="GRAPH_INVALID")
        if len(weight) != index.size(1):
            raise PenchantError(f"{name}: {len(weight)} weights for {index.size(1)} edges.", reason="GRAPH_INVALID")
        if not len(weight):
            continue
        for end, row in ((edge_type[0], index[0]), (edge_type[2], index[1])):
            if (end, row.data_ptr()) in looked_at:
                continue
            looked_at.add((end, row.data_ptr()))
            numbers = row.numpy()
            if numbers.min() < 0 or numbers.max() >= data[end].num_nodes:
                raise PenchantError(f"{name}: an edge names a {end} that does not exist.", reason="GRAPH_INVALID")
        if ("weight", weight.data_ptr()) not in looked_at:
            looked_at.add(("weight", weight.data_ptr()))
            weights = weight.numpy()
            if not (weights.min() > 0 and weights.max() < np.inf):  # NaN is neither
                raise PenchantError(f"{name}: a weight is not finite and positive.", reason="GRAPH_INVALID")


def user_item(events: Events, index: int, kind: EventKind, epoch: int, n_users: int, n_items: int) -> Csr:
    """float64 CSR [U, I] of one kind, `index` being its place among the kinds."""
    rows = np.flatnonzero(events.kind == index)
    meaning, which = Meaning.of([kind]), np.zeros(len(rows), np.int16)
    as_its_kind = meaning.side(which, events.value[rows]) == kind.sign
    rows, which = rows[as_its_kind], which[as_its_kind]
    weight: Float64s = meaning.strength(which, events.value[rows])
    if kind.half_life_days is not None:
        half_lives = (events.occurred_at[rows] - epoch) / (kind.half_life_days * DAY_US)
        weight *= np.exp2(np.minimum(half_lives, _MANY_HALF_LIVES))
    offsets = np.concatenate(([0], np.cumsum(np.bincount(events.user[rows], minlength=n_users))))
    edges = Csr((weight, events.item[rows], offsets), shape=(n_users, n_items))  # events are sorted by user
    edges.sum_duplicates()
    return edges


def _edges(matrix: Csr | None) -> tuple[Int64s, Float32s] | None:
    """(the ends, the weights) of a kind that has any."""
    if matrix is None or not matrix.nnz:
        return None
    return _ends(matrix), np.clip(matrix.data, _FAINTEST, _STRONGEST).astype(np.float32)


def _ends(matrix: Csr) -> Int64s:
    """int64 [3, E]: sources, targets, sources again (see _add)."""
    ends = np.empty((3, matrix.nnz), np.int64)
    ends[0] = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
    ends[1] = matrix.indices
    ends[2] = ends[0]
    return ends


def _add(data: HeteroData, edge_type: EdgeType, ends: Int64s, weight: Float32s | None = None) -> None:
    """Edges and their reverse, which share memory: `ends` [3, E] are source, target and the source again.

    Without `weight` each weighs 1.
    """
    index = torch.from_numpy(ends)
    weights = torch.ones(ends.shape[1]) if weight is None else torch.from_numpy(weight)
    for name, edges in ((edge_type, index[:2]), (schema.reverse(edge_type), index[1:])):
        data[name].edge_index, data[name].edge_weight = edges, weights
