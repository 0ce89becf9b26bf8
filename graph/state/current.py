"""The newest snapshot and its graph from what was kept of the last ones, or from the start."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch_geometric.data import HeteroData

from graph import reading
from graph.arrays import Int32s, Int64s
from graph.build import (
    KEEP_NEIGHBOURS,
    MAX_DISTANCE,
    assembled,
    build_graph,
    check_settings,
    check_snapshot,
    decay_factor,
)
from graph.event_columns import DTYPES, EventColumns
from graph.events import EventLog, Events
from graph.followed_by import weighed
from graph.ids import IdMap
from graph.snapshot import Snapshot, snapshot_at, take_snapshot
from graph.sparse import Csr
from graph.state.edges import Edges, Moment, advanced, edges_of
from graph.state.folder import read_state, write_state
from graph.state.mirror import Mirror, Retractions
from graph.state.rows import cut
from graph.state.tail import StaleError, read_mirror_rows, read_users
from graph.storage.database import Database
from graph.storage.kinds import EventKind, load_kinds
from graph.storage.tables import item
from graph.storage.times import now_us

STATE = ".graph"
"""The folder below the artifacts in which `penchant refresh` keeps it."""
Say = Callable[[str], None]


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
    check_settings(max_distance, keep_neighbours)
    known_at = now_us() if known_at is None else known_at
    if as_of is None:
        as_of = reading.end_of_events(database, known_at)
    kinds = load_kinds(database)
    edges: Edges | None
    try:
        mirror, edges = read_state(folder)
        if mirror.kinds != kinds:
            raise StaleError("the event kinds have changed")
        if (edges.max_distance, edges.follows.keep_neighbours) != (max_distance, keep_neighbours):
            raise StaleError("it was counted with other settings")
        rows = _read(database, mirror, as_of, known_at)
    except StaleError as reason:
        say(f"The graph is counted from the start: {reason}.")
        mirror, edges = _empty(kinds), None
        rows = _read(database, mirror, as_of, known_at)
    new_rows = None if edges is None else len(rows.columns["id"]) + len(rows.retractions)
    mirror, added = mirror.with_rows(rows.columns, rows.retractions, rows.users, rows.users_recorded_at, rows.items)
    log = mirror.log(as_of, known_at)
    snapshot = _snapshot(database, mirror, log, rows, as_of, known_at)
    if edges is None:
        moment = Moment(as_of, known_at, len(mirror.retractions))
        events = log.at(as_of) if snapshot is None else snapshot.events
        edges = edges_of(mirror, events, moment, max_distance=max_distance, keep_neighbours=keep_neighbours)
    else:
        edges = advanced(edges, mirror, added, as_of, known_at)
    if snapshot is None:
        say("The graph is counted from the start: users or items that are known came after others that are not yet.")
        snapshot, new_rows = take_snapshot(database, as_of=as_of, known_at=known_at), None
        graph = build_graph(snapshot, max_distance=max_distance, keep_neighbours=keep_neighbours)
    else:
        check_snapshot(snapshot)
        n_users, n_items = len(snapshot.users), len(snapshot.items)
        shown = weighed(cut(edges.follows.strongest, (n_items, n_items)), edges.max_distance)
        counted = (cut(matrix, (n_users, n_items)) for matrix in _as_of_now(edges, kinds, as_of))
        graph = assembled(snapshot, counted, shown, as_of)
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


def _snapshot(
    database: Database, mirror: Mirror, log: EventLog, rows: _Rows, as_of: int, known_at: int
) -> Snapshot | None:
    """None where a snapshot's users and items are not the first ones of the mirror's."""
    versions = reading.numbers(rows.versions.items["item_id"])
    n_users = _first_known(rows.users_recorded_at, known_at, log.events.user)
    n_items = _first_known(rows.items_recorded_at, known_at, log.events.item, rows.items.index_of_surrogate(versions))
    if n_users is None or n_items is None:
        return None
    categories = reading.category_ids(database, rows.versions, known_at)
    items = rows.items.up_to(n_items)
    catalog = reading.catalog_log(rows.versions, items, categories)
    return snapshot_at(as_of, known_at, mirror.users.up_to(n_users), items, categories, mirror.kinds, log, catalog)


def _first_known(recorded_at: Int64s, known_at: int, *named: Int32s) -> int | None:
    """How many rows a snapshot has: those known at `known_at`, and what a visible event or version names besides.

    Rows that came since stand behind all others nearly always; None where they do not.
    """
    wanted = recorded_at <= known_at
    if wanted.all():
        return len(wanted)
    for references in named:
        wanted[references] = True
    n = int(np.flatnonzero(wanted)[-1]) + 1 if wanted.any() else 0
    return n if wanted[:n].all() else None


def _as_of_now(edges: Edges, kinds: tuple[EventKind, ...], as_of: int) -> Iterator[Csr]:
    """Empty where a kind's sign is 0."""
    for kind, matrix in zip(kinds, edges.user_item, strict=True):
        factor = decay_factor(kind, edges.epoch_us, as_of)
        yield Csr((matrix.data * factor, matrix.indices, matrix.indptr), shape=matrix.shape)


def _empty(kinds: tuple[EventKind, ...]) -> Mirror:
    none = np.zeros(0, np.int64)
    columns = {name: np.zeros(0, dtype) for name, dtype in DTYPES.items() if name != "recorded_at"}
    return Mirror(kinds, IdMap.of([]), none, none, Events(**columns), none, Retractions(none, none, none, none))
