"""Edges that came, went or weigh otherwise, relation by relation, both graphs seen against one epoch.

Interest fades against the epoch alone: with one epoch for both, an edge whose events are the same weighs the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch_geometric.data import HeteroData

from graph import schema
from graph.arrays import Float64s, Int64s
from graph.build import build_graph
from graph.ids import IdMap
from graph.inspect import forward_edges
from graph.snapshot import Snapshot

_SAME = 1e-6
"""Weights are float32, added up in the order of arrival: closer than this, relative to the larger, they are equal."""


@dataclass(frozen=True)
class Node:
    id: str
    name: str  # empty for users


@dataclass(frozen=True)
class EdgeChange:
    source: Node
    target: Node
    before: float  # 0 = no edge
    after: float


@dataclass(frozen=True)
class RelationChange:
    """`after` = `before` + `added` - `gone`. Weights as of the second moment."""

    source: str
    relation: str
    target: str
    before: int
    after: int
    added: int
    gone: int
    reweighted: int  # in both, with another weight
    most: tuple[EdgeChange, ...]  # those whose weight changed most, the largest change first


def edge_changes(before: Snapshot, after: Snapshot, n_most: int) -> tuple[RelationChange, ...]:
    """One for each relation that has edges in either. Raises what build_graph raises."""
    graphs = [build_graph(snapshot, epoch_us=after.as_of) for snapshot in (before, after)]
    relations = list(dict.fromkeys(edge_type for graph in graphs for edge_type in forward_edges(graph)))
    return tuple(_changes(relations, graphs, (before, after), n_most))


def _changes(
    relations: list[schema.EdgeType], graphs: list[HeteroData], snapshots: tuple[Snapshot, Snapshot], n_most: int
) -> Iterator[RelationChange]:
    maps = [_id_maps(snapshot) for snapshot in snapshots]
    for source, name, target in relations:
        sources = np.union1d(*(ids[source].surrogate for ids in maps))
        targets = np.union1d(*(ids[target].surrogate for ids in maps))
        keyed = []
        for graph, ids in zip(graphs, maps, strict=True):
            if (source, name, target) in graph.edge_types:
                edges = graph[source, name, target]
                start, end = edges.edge_index.numpy()
                rows = np.searchsorted(sources, ids[source].surrogate)[start]
                columns = np.searchsorted(targets, ids[target].surrogate)[end]
                keyed.append((rows * len(targets) + columns, edges.edge_weight.numpy().astype(np.float64)))
            else:
                keyed.append((np.zeros(0, np.int64), np.zeros(0)))
        pairs = np.union1d(keyed[0][0], keyed[1][0])
        if not len(pairs):
            continue
        old, new = (_spread(pairs, key, weight) for key, weight in keyed)
        change = np.abs(new - old)
        is_changed = change > _SAME * np.maximum(old, new)
        ranked = np.lexsort((pairs, -change))[: min(n_most, int(is_changed.sum()))] if n_most else np.zeros(0, np.int64)
        most = tuple(
            EdgeChange(
                _node(snapshots, source, int(sources[pairs[place] // len(targets)])),
                _node(snapshots, target, int(targets[pairs[place] % len(targets)])),
                float(old[place]),
                float(new[place]),
            )
            for place in ranked.tolist()
            if is_changed[place]
        )
        added, gone = int((old == 0).sum()), int((new == 0).sum())
        counts = (len(keyed[0][0]), len(keyed[1][0]), added, gone, int(is_changed.sum()) - added - gone)
        yield RelationChange(source, name, target, *counts, most)


def _spread(pairs: Int64s, key: Int64s, weight: Float64s) -> Float64s:
    """The weight of each of `pairs`, 0 where there is no such edge."""
    spread = np.zeros(len(pairs))
    spread[np.searchsorted(pairs, key)] = weight
    return spread


def _id_maps(snapshot: Snapshot) -> dict[str, IdMap]:
    return {schema.USER: snapshot.users, schema.ITEM: snapshot.items, schema.CATEGORY: snapshot.categories}


def _node(snapshots: tuple[Snapshot, Snapshot], node_type: str, surrogate: int) -> Node:
    """As the later snapshot that knows it calls it."""
    for snapshot in reversed(snapshots):
        index = int(_id_maps(snapshot)[node_type].index_of_surrogate(np.array([surrogate]))[0])
        if index >= 0:
            names = {schema.ITEM: snapshot.item_names, schema.CATEGORY: snapshot.category_names}.get(node_type)
            external = _id_maps(snapshot)[node_type].external[index].as_py()
            return Node(external, "" if names is None else names[index].as_py())
    raise AssertionError(f"an edge names the {node_type} {surrogate}, which neither snapshot has")
