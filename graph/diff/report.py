"""Everything that `penchant graph diff` says of two snapshots of one store."""

from dataclasses import asdict, dataclass
from typing import Any

from graph.diff.catalog import CatalogChange, catalog_changes
from graph.diff.edges import RelationChange, edge_changes
from graph.diff.events import KindChange, NodeChange, event_changes, node_changes
from graph.diff.moments import Moment
from graph.snapshot import Snapshot, is_comparable


@dataclass(frozen=True)
class Side:
    moment: str  # as it was given
    as_of_us: int
    known_at_us: int
    content_hash: str
    recorded_hash: str | None  # of a model's revision: what it was made from

    @property
    def is_as_recorded(self) -> bool:
        """False where the store no longer gives what the revision was made from: a kind was changed, a row erased."""
        return self.recorded_hash in (None, self.content_hash)

    @property
    def is_comparable(self) -> bool:
        """False where the revision was made by a version of penchant whose hash is defined otherwise."""
        return self.recorded_hash is None or is_comparable(self.recorded_hash)


@dataclass(frozen=True)
class GraphDiff:
    before: Side
    after: Side
    nodes: tuple[NodeChange, ...]
    events: tuple[KindChange, ...]
    catalog: tuple[CatalogChange, ...]
    edges: tuple[RelationChange, ...]

    @property
    def is_same(self) -> bool:
        """Equal contents: events, catalog and kinds."""
        return self.before.content_hash == self.after.content_hash

    def as_dict(self) -> dict[str, Any]:
        return {"is_same": self.is_same, **asdict(self)}


def diff_snapshots(
    moments: tuple[Moment, Moment], snapshots: tuple[Snapshot, Snapshot], *, n_named: int = 5, with_edges: bool = True
) -> GraphDiff:
    """`n_named`: so many items, categories and edges are named for each change. Edges cost two builds of the graph."""
    before, after = snapshots
    sides = [
        Side(moment.text, snapshot.as_of, snapshot.known_at, snapshot.content_hash, moment.recorded_hash)
        for moment, snapshot in zip(moments, snapshots, strict=True)
    ]
    return GraphDiff(
        before=sides[0],
        after=sides[1],
        nodes=node_changes(before, after),
        events=event_changes(before, after),
        catalog=catalog_changes(before, after, n_named),
        edges=edge_changes(before, after, n_named) if with_edges else (),
    )
