"""The newest snapshot and its graph from what was kept of the last ones, or from the start."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch_geometric.data import HeteroData

from graph import reading
from graph.arrays import Int64s
from graph.build import assembled, build_graph, check_snapshot, decay_factor
from graph.event_columns import DTYPES, EventColumns
from graph.events import Events
from graph.followed_by import weighed
from graph.ids import IdMap
from graph.snapshot import Snapshot, snapshot_at, take_snapshot
from graph.sparse import Csr
from graph.state.edges import Edges, advanced, edges_of
from graph.state.folder import read_state, write_state
from graph.state.mirror import Mirror, Retractions, sorted_events
from graph.state.tail import StaleError, read_mirror_rows, read_users
from graph.storage.database import Database
from graph.storage.kinds import EventKind, load_kinds
from graph.storage.tables import item
from graph.storage.times import now_us

STATE = ".graph"
"""The folder below the artifacts in which `penchant refresh` keeps it."""
Say = Callable[[str], None]
MAX_DISTANCE, KEEP_NEIGHBOURS = 8, 50


@dataclass(frozen=True, eq=False)
class Current:
    """Both as `take_snapshot` and `build_graph` would make them; `new_rows` None: all was read from the start."""

    snapshot: Snapshot
    graph: HeteroData
    new_rows: int | None


def current_graph(
    database: Database,
    folder: Path,
    *,
    as_of: int | None = None,
    known_at: int | None = None,
    max_distance: int = MAX_DISTANCE,
    keep_neighbours: int = KEEP_NEIGHBOURS,
    keep: bool = True,
    say: Say = lambda _: None,
) -> Current:
    """The graph as of a moment, from the state in `folder` and what the store has since; `keep` writes it back.

    A state that is missing, broken, of another store or of other kinds is not used, and `say` is told why. Times and
    errors as of `take_snapshot` and `build_graph`.
    """
    known_at = now_us() if known_at is None else known_at
    if as_of is None:
        newest = reading.newest_event(database, known_at)
        as_of = known_at if newest is None else newest + 1
    kinds = load_kinds(database)
    try:
        found = _from_state(database, folder, kinds, as_of, known_at, (max_distance, keep_neighbours))
    except StaleError as reason:
        say(f"The graph is counted from the start: {reason}.")
        found = None
    settings = (max_distance, keep_neighbours)
    mirror, edges, rows, new_rows = found or _from_start(database, kinds, as_of, known_at, settings)
    snapshot = _snapshot(database, mirror, rows, as_of, known_at)
    if snapshot is None:  # rows of users or items of the future: their places among all are not those of the snapshot
        snapshot = take_snapshot(database, as_of=as_of, known_at=known_at)
        graph = build_graph(snapshot, max_distance=max_distance, keep_neighbours=keep_neighbours)
    else:
        check_snapshot(snapshot)
        shown = weighed(edges.follows.strongest, edges.max_distance)
        graph = assembled(snapshot, _as_of_now(edges, kinds, as_of), shown, as_of)
    if keep:
        try:
            write_state(folder, mirror, edges)
        except OSError as error:  # a full disk, another refresh: the graph is good nevertheless
            say(f"The graph is not kept for the next time: {error}.")
    return Current(snapshot, graph, new_rows)


@dataclass(frozen=True, eq=False)
class _Rows:
    """What the store has that a mirror lacks; the catalog and the ids of items are small and read anew."""

    columns: EventColumns
    retractions: Retractions
    versions: reading.VersionRows
    users: IdMap
    users_recorded_at: Int64s
    items: IdMap
    items_recorded_at: Int64s


def _read(database: Database, mirror: Mirror, as_of: int, known_at: int) -> _Rows:
    """In the order in which `take_snapshot` reads: what is written meanwhile is then never missing."""
    columns, retractions = read_mirror_rows(database, mirror)
    versions = reading.read_versions(database, as_of, known_at)
    users, users_recorded_at = read_users(database, mirror)
    items, items_recorded_at = reading.read_all_ids(database, item)
    if not np.array_equal(items.surrogate[: len(mirror.items)], mirror.items):
        raise StaleError("an item came late, or has gone")
    return _Rows(columns, retractions, versions, users, users_recorded_at, items, items_recorded_at)


def _from_state(
    database: Database,
    folder: Path,
    kinds: tuple[EventKind, ...],
    as_of: int,
    known_at: int,
    settings: tuple[int, int],
) -> tuple[Mirror, Edges, _Rows, int]:
    mirror, edges = read_state(folder)
    if mirror.kinds != kinds:
        raise StaleError("the event kinds have changed")
    if (edges.max_distance, edges.follows.keep_neighbours) != settings:
        raise StaleError("it was counted with other settings")
    rows = _read(database, mirror, as_of, known_at)
    new_rows = len(rows.columns["id"]) + len(rows.retractions)
    mirror, added = mirror.with_rows(
        rows.columns, rows.retractions, rows.users, rows.users_recorded_at, rows.items.surrogate
    )
    return mirror, advanced(edges, mirror, added, as_of, known_at), rows, new_rows


def _from_start(
    database: Database, kinds: tuple[EventKind, ...], as_of: int, known_at: int, settings: tuple[int, int]
) -> tuple[Mirror, Edges, _Rows, None]:
    rows = _read(database, _empty(kinds), as_of, known_at)
    events, recorded_at = sorted_events(rows.columns, kinds, rows.users, rows.items.surrogate)
    mirror = Mirror(
        kinds, rows.users, rows.users_recorded_at, rows.items.surrogate, events, recorded_at, rows.retractions
    )
    max_distance, keep_neighbours = settings
    edges = edges_of(mirror, as_of, known_at, max_distance=max_distance, keep_neighbours=keep_neighbours)
    return mirror, edges, rows, None


def _snapshot(database: Database, mirror: Mirror, rows: _Rows, as_of: int, known_at: int) -> Snapshot | None:
    """None where not every user and item was known at `known_at`."""
    if (rows.users_recorded_at > known_at).any() or (rows.items_recorded_at > known_at).any():
        return None
    categories = reading.category_ids(database, rows.versions, known_at)
    return snapshot_at(
        as_of,
        known_at,
        mirror.users,
        rows.items,
        categories,
        mirror.kinds,
        mirror.log(as_of, known_at),
        reading.catalog_log(rows.versions, rows.items, categories),
    )


def _as_of_now(edges: Edges, kinds: tuple[EventKind, ...], as_of: int) -> Iterator[Csr | None]:
    for kind, matrix in zip(kinds, edges.user_item, strict=True):
        factor = decay_factor(kind, edges.epoch_us, as_of)
        yield Csr((matrix.data * factor, matrix.indices, matrix.indptr), shape=matrix.shape) if kind.sign else None


def _empty(kinds: tuple[EventKind, ...]) -> Mirror:
    none = np.zeros(0, np.int64)
    columns = {name: np.zeros(0, dtype) for name, dtype in DTYPES.items() if name != "recorded_at"}
    return Mirror(kinds, IdMap.of([]), none, none, Events(**columns), none, Retractions(none, none, none, none))
