"""Nothing of the future reaches a snapshot, a history or a graph.

Random stores with back-dated events, retractions and a catalog that changes are cut at random pairs of times. What
comes out is compared with the definition, written as loops over the tables' raw rows, and must not change when the
future is added to the store afterwards.
"""

import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from graph.build import build_graph
from graph.features import fit_scaler
from graph.hashing import hash_strings
from graph.histories import Histories, histories_of
from graph.schema import RETRACT
from graph.snapshot import Snapshot, take_snapshot
from graph.storage import tables
from graph.storage.categories import delete_categories, upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.items import delete_items, upsert_items
from graph.storage.times import DAY_US

Row = dict[str, Any]
Change = tuple[str, Row]
TIMES = st.integers(0, 9)  # microseconds after 1970: few, so that equal times and borders are met often
KINDS = ("view", "purchase", "dislike")
SESSION = {
    key: int(number >> np.uint64(1)) for key, number in zip("ab", hash_strings(pa.array(["a", "b"])), strict=True)
}
USERS, ITEM_IDS, CATEGORY_IDS = ("u0", "u1", "u2"), ("i0", "i1", "i2", "i3"), ("c0", "c1", "c2", "c3")

EVENT = st.fixed_dictionaries(
    {
        "user": st.sampled_from(USERS),
        "item": st.sampled_from(ITEM_IDS),
        "kind": st.sampled_from(KINDS),
        "value": st.sampled_from([None, 1.0, 2.5]),
        "session_key": st.sampled_from([None, "a", "b"]),
        "sequence": st.sampled_from([None, 0, 1]),
        "occurred_at": TIMES,
        "recorded_at": TIMES,
    }
)
RETRACTION = st.fixed_dictionaries({"of": st.integers(0, 3), "occurred_at": TIMES, "recorded_at": TIMES})
ITEM = st.fixed_dictionaries(
    {
        "item": st.sampled_from(ITEM_IDS),
        "name": st.sampled_from([None, "old", "new"]),
        "attributes": st.sampled_from([None, '{"price": 1}', '{"price": 2.5, "colour": "red"}', '{"price": "9"}']),
        "available": st.booleans(),
        "categories": st.lists(st.sampled_from(CATEGORY_IDS), max_size=2, unique=True),
        "valid_from": st.none() | TIMES,
    }
)
# Parents stand earlier in the alphabet, so no history of moves closes a cycle; cycles have tests of their own.
CATEGORY = st.sampled_from(CATEGORY_IDS).flatmap(
    lambda own: st.fixed_dictionaries(
        {
            "category": st.just(own),
            "name": st.sampled_from([None, "old", "new"]),
            "parent": st.sampled_from([None, *[other for other in CATEGORY_IDS if other < own]]),
            "valid_from": st.none() | TIMES,
        }
    )
)
CHANGE = (
    st.tuples(st.just("item"), ITEM)
    | st.tuples(st.just("category"), CATEGORY)
    | st.tuples(st.just("delete_item"), st.fixed_dictionaries({"item": st.sampled_from(ITEM_IDS)}))
    | st.tuples(st.just("delete_category"), st.fixed_dictionaries({"category": st.sampled_from(CATEGORY_IDS)}))
)


@dataclass(frozen=True)
class Load:
    """What is written to a store, in this order: catalog changes (with the time each is recorded), then events."""

    changes: list[tuple[int, Change]]
    events: list[Row]
    retractions: list[Row]


LOADS = st.builds(
    Load,
    st.lists(st.tuples(TIMES, CHANGE), min_size=2, max_size=8).map(lambda rows: sorted(rows, key=lambda row: row[0])),
    st.lists(EVENT, min_size=4, max_size=12),
    st.lists(RETRACTION, min_size=1, max_size=4),
)


@contextmanager
def fresh(template: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(template, Path(folder) / "store.db")
        database = Database(f"sqlite:///{folder}/store.db")
        yield database
        database.close()


def write(database: Database, load: Load, name: str, *, recorded_later: int = 0) -> None:
    """`name` makes event ids unique; `recorded_later` is added to every time at which something was recorded."""
    for recorded_at, (what, row) in load.changes:
        at = recorded_at + recorded_later
        if what == "item":
            upsert_items(database, table_of(ITEMS, [row]), recorded_at=at)
        elif what == "category":
            upsert_categories(database, table_of(CATEGORIES, [row]), recorded_at=at)
        elif what == "delete_item":
            delete_items(database, [row["item"]], recorded_at=at)
        else:
            delete_categories(database, [row["category"]], recorded_at=at)
    rows = [{**row, "event_id": f"{name}{number}"} for number, row in enumerate(load.events)]
    rows += [
        {
            **{key: value for key, value in row.items() if key != "of"},
            "event_id": f"{name}r{number}+{recorded_later}-{row['occurred_at']}",
            "kind": RETRACT,
            "retracts": f"{name}{row['of']}",
        }
        for number, row in enumerate(load.retractions)
    ]
    rows = [{**row, "recorded_at": row["recorded_at"] + recorded_later} for row in rows]
    if rows:
        # Loaded at 0, so that the rows of users and items are known whenever one of their events is.
        append_events(
            database, table_of(EVENTS, rows), source="test", unknown_items="create", recorded_at=recorded_later
        )


# --- what comes out, in the shop's own ids -----------------------------------------------------------------------


def shown(snapshot: Snapshot) -> dict[str, Any]:
    """Everything that anybody computes from, without indices and without nodes that nothing is known of."""
    graph, histories = build_graph(snapshot), histories_of(snapshot)
    ids = {"user": snapshot.users, "item": snapshot.items, "category": snapshot.categories}
    name = {node: own.external.to_pylist() for node, own in ids.items()}
    edges = {}
    for edge_type in graph.edge_types:
        source, _, target = edge_type
        index, weight = graph[edge_type].edge_index, graph[edge_type].edge_weight
        pairs = zip(*index.tolist(), weight.tolist(), strict=True)
        edges[edge_type] = {(name[source][a], name[target][b]): w for a, b, w in pairs}
    links = defaultdict(set)
    for item, category in snapshot.item_category.T.tolist():
        links[item].add(name["category"][category])
    items, categories = snapshot.item_names.to_pylist(), snapshot.category_names.to_pylist()
    return {
        "events": sorted(_events(snapshot, name), key=repr),
        "items": {
            name["item"][index]: (items[index], bool(snapshot.item_available[index]), links[index])
            for index in snapshot.item_exists.nonzero()[0].tolist()
        },
        "categories": {
            name["category"][index]: (categories[index], name["category"][parent] if parent >= 0 else None)
            for index in snapshot.category_exists.nonzero()[0].tolist()
            for parent in [int(snapshot.category_parent[index])]
        },
        "exists": [
            {name["item"][index] for index in graph["item"].exists.nonzero().flatten().tolist()},
            {name["item"][index] for index in graph["item"].available.nonzero().flatten().tolist()},
            {name["category"][index] for index in graph["category"].exists.nonzero().flatten().tolist()},
        ],
        "histories": dict(_histories(histories, snapshot, name)),
        "edges": {kind: found for kind, found in edges.items() if found},
        "features": _features(snapshot, name["item"]),
    }


def _features(snapshot: Snapshot, items: list[str]) -> dict[str, list[float]] | None:
    """Prices of the items there are, on the scale of those with events; None without a price among the latter."""
    try:
        scaler = fit_scaler(snapshot, ("price",))
    except BadInputError:
        return None
    return {items[index]: scaler(snapshot)[index].tolist() for index in snapshot.item_exists.nonzero()[0].tolist()}


def _events(snapshot: Snapshot, name: dict[str, list[str]]) -> Iterator[tuple[Any, ...]]:
    e = snapshot.events
    for user, item, kind, value, when, sequence, session in zip(
        e.user, e.item, e.kind, e.value, e.occurred_at, e.sequence, e.session, strict=True
    ):
        number = None if value != value else float(value)
        basket = None if session == -1 else int(session)
        yield (
            name["user"][user],
            name["item"][item],
            snapshot.kinds[kind].name,
            number,
            int(when),
            int(sequence),
            basket,
        )


def _histories(
    histories: Histories, snapshot: Snapshot, name: dict[str, list[str]]
) -> Iterator[tuple[str, list[tuple[int, str, str, int]]]]:
    for row, user in enumerate(name["user"]):
        part = slice(histories.offsets[row], histories.offsets[row + 1])
        columns = (histories.occurred_at, histories.item, histories.kind, histories.step)
        told = [
            (int(when), name["item"][item], snapshot.kinds[kind].name, int(step))
            for when, item, kind, step in zip(*(column[part] for column in columns), strict=True)
        ]
        if told:
            yield user, sorted(told, key=lambda one: (one[3], one[1], one[2]))


# --- the definition, as loops over raw rows ----------------------------------------------------------------------


def rows_of(database: Database, table: Any) -> list[Any]:
    with database.connect() as connection:
        return list(connection.execute(select(table)))


def defined(database: Database, as_of: int, known_at: int) -> dict[str, Any]:
    external = {t.name: {row.id: row.external_id for row in rows_of(database, t)} for t in (tables.user, tables.item)}
    category_ids = {row.id: row.external_id for row in rows_of(database, tables.category)}
    kinds = {row.id: row for row in rows_of(database, tables.event_kind)}

    def known(row: Any) -> bool:
        return bool(row.recorded_at <= known_at)

    logged = [row for row in rows_of(database, tables.interaction) if row.occurred_at < as_of and known(row)]
    withdrawn = {row.retracts for row in logged if kinds[row.kind_id].name == RETRACT}
    events = [row for row in logged if kinds[row.kind_id].name != RETRACT and row.event_id not in withdrawn]

    def held(versions: Sequence[Any], owner: str) -> dict[int, Any]:
        now: dict[int, Any] = {}
        for row in sorted(versions, key=lambda row: (row.valid_from, row.recorded_at, row.id)):
            if known(row) and row.valid_from <= as_of:
                now[getattr(row, owner)] = row
        return {key: row for key, row in now.items() if not row.deleted}

    item_now = held(rows_of(database, tables.item_version), "item_id")
    category_now = held(rows_of(database, tables.category_version), "category_id")
    links = defaultdict(set)
    for link in rows_of(database, tables.item_category):
        if link.category_id in category_now:
            links[link.item_version_id].add(category_ids[link.category_id])
    items = {external["item"][key]: (row.name or "", row.available, links[row.id]) for key, row in item_now.items()}
    categories = {
        category_ids[key]: (row.name or "", category_ids[row.parent_id] if row.parent_id in category_now else None)
        for key, row in category_now.items()
    }

    edges: dict[tuple[str, str, str], dict[tuple[str, str], float]] = defaultdict(lambda: defaultdict(float))
    histories: dict[str, list[tuple[int, str, str, int]]] = {}
    for user_id, user in external["user"].items():
        mine = [row for row in events if row.user_id == user_id]
        liked = [row for row in mine if kinds[row.kind_id].sign >= 0]
        steps = sorted({(row.occurred_at, -1 if row.sequence is None else row.sequence) for row in liked})
        baskets: list[set[str]] = [set() for _ in steps]
        for row in mine:
            kind, item = kinds[row.kind_id], external["item"][row.item_id]
            fading = 2 ** ((row.occurred_at - as_of) / (kind.half_life_days * DAY_US)) if kind.half_life_days else 1
            edges["user", kind.name, "item"][user, item] += kind.weight * fading
            if kind.sign > 0:
                step = steps.index((row.occurred_at, -1 if row.sequence is None else row.sequence))
                baskets[step].add(item)
                histories.setdefault(user, []).append((row.occurred_at, item, kind.name, step))
        for place, basket in enumerate(baskets):
            for distance in range(9):
                for a in basket:
                    for b in baskets[place + distance] if place + distance < len(baskets) else ():
                        if a != b:
                            edges["item", "followed_by", "item"][a, b] += 1 / max(distance, 1)
    for item, (_, _, above) in items.items():
        for category in above:
            edges["item", "in", "category"][item, category] = 1
    for category, (_, parent) in categories.items():
        if parent is not None:
            edges["category", "child_of", "category"][category, parent] = 1
    for (source, kind, target), found in list(edges.items()):
        edges[target, f"rev_{kind}", source] = {(b, a): weight for (a, b), weight in found.items()}
    told = [
        (
            external["user"][row.user_id],
            external["item"][row.item_id],
            kinds[row.kind_id].name,
            row.value,
            row.occurred_at,
            -1 if row.sequence is None else row.sequence,
            None if row.session_key is None else SESSION[row.session_key],
        )
        for row in events
    ]
    prices = {external["item"][key]: float((row.attributes or {}).get("price", "nan")) for key, row in item_now.items()}
    active = [price for item in {event[1] for event in told} if (price := prices.get(item, nan)) == price]
    centre, reach = (fmean(active), pstdev(active) or 1.0) if active else (0.0, 1.0)
    features = {
        item: pytest.approx([(price - centre) / reach if price == price else 0, float(price == price)], abs=1e-5)
        for item, price in prices.items()
    }
    return {
        "features": features if active else None,
        "events": sorted(told, key=repr),
        "items": items,
        "categories": categories,
        "exists": [set(items), {item for item, row in items.items() if row[1]}, set(categories)],
        "histories": {user: sorted(one, key=lambda row: (row[3], row[1], row[2])) for user, one in histories.items()},
        "edges": {
            kind: {pair: pytest.approx(weight) for pair, weight in found.items()} for kind, found in edges.items()
        },
    }


LEAKS = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.timeout(300)
@LEAKS
@given(load=LOADS, as_of=st.integers(1, 10), known_at=st.integers(2, 9))
def test_a_snapshot_is_its_definition(sqlite_template: Path, load: Load, as_of: int, known_at: int) -> None:
    with fresh(sqlite_template) as database:
        write(database, load, "e")
        snapshot = take_snapshot(database, as_of=as_of, known_at=known_at)
        expected = defined(database, as_of, known_at)
        event(f"events visible: {len(expected['events']) > 0}, of all: {len(expected['events']) == len(load.events)}")
        assert shown(snapshot) == expected


@pytest.mark.timeout(300)
@LEAKS
@given(load=LOADS, as_of=st.integers(2, 12), known_at=st.integers(3, 9), data=st.data())
def test_until_is_the_snapshot_taken_then(
    sqlite_template: Path, load: Load, as_of: int, known_at: int, data: st.DataObject
) -> None:
    borders = sorted({row["occurred_at"] for row in load.retractions + load.events})  # where < and <= differ
    t = min(as_of, data.draw(st.sampled_from(borders) | st.integers(1, 10)))
    with fresh(sqlite_template) as database:
        write(database, load, "e")
        late = take_snapshot(database, as_of=as_of, known_at=known_at).until(t)
        direct = take_snapshot(database, as_of=t, known_at=known_at)
        assert (late.as_of, late.known_at) == (direct.as_of, direct.known_at)
        assert shown(late) == shown(direct)
        assert late.content_hash == direct.content_hash


@pytest.mark.timeout(300)
@LEAKS
@given(past=LOADS, later=LOADS, as_of=st.integers(1, 8))
def test_the_future_does_not_change_the_past(sqlite_template: Path, past: Load, later: Load, as_of: int) -> None:
    known_at = 9
    with fresh(sqlite_template) as database:
        upsert_items(database, table_of(ITEMS, [{"item": item} for item in ITEM_IDS]), recorded_at=0)
        write(database, past, "e")
        before = take_snapshot(database, as_of=as_of, known_at=known_at)

        # Recorded in time, but happens at the cut or after it; a retraction there of an event before it, too.
        write(database, Load([], _from(as_of, later.events), _from(as_of, later.retractions)), "f")
        write(database, Load([], [], _from(as_of, later.retractions)), "e")
        changes = [(known_at, (what, _valid_after(as_of, row))) for _, (what, row) in later.changes]
        write(database, Load(changes, [], []), "f")
        # Happened at any time, recorded afterwards.
        write(database, later, "g", recorded_later=known_at + 1)
        write(database, Load([], [], later.retractions), "e", recorded_later=known_at + 1)

        after = take_snapshot(database, as_of=as_of, known_at=known_at)
        assert shown(after) == shown(before)
        assert after.content_hash == before.content_hash


def _from(as_of: int, rows: list[Row]) -> list[Row]:
    return [{**row, "occurred_at": row["occurred_at"] + as_of} for row in rows]


def _valid_after(as_of: int, row: Row) -> Row:
    return {**row, "valid_from": as_of + 1 + (row["valid_from"] or 0)} if "valid_from" in row else row


def test_the_newest_event_is_seen_when_no_time_is_given(sqlite_database: Database) -> None:
    rows = [
        {"user": "u", "item": "i", "kind": "view", "occurred_at": when, "recorded_at": recorded}
        for when, recorded in ((3, 0), (5, 0), (8, 7))
    ]
    assert take_snapshot(sqlite_database, as_of=None, known_at=4).as_of == 4  # an empty store
    append_events(sqlite_database, table_of(EVENTS, rows), source="s", unknown_items="create", recorded_at=0)
    assert take_snapshot(sqlite_database, as_of=None, known_at=0).as_of == 6
    latest = take_snapshot(sqlite_database, as_of=None)
    assert (latest.as_of, len(latest.events)) == (9, 3)
    assert (latest.item_exists.tolist(), latest.catalog_log.items.valid_from.tolist()) == ([True], [3])
