"""What a snapshot shows, in the shop's own ids, and what it has to show: the definition, as loops over raw rows."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from math import nan
from statistics import fmean, pstdev
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sqlalchemy import select

from graph.build import build_graph
from graph.features.encoder import fit_encoder
from graph.hashing import hash_strings
from graph.histories import Histories, histories_of
from graph.schema import RETRACT
from graph.snapshot import Snapshot
from graph.storage import tables
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.times import DAY_US

SESSION = {
    key: int(number >> np.uint64(1)) for key, number in zip("ab", hash_strings(pa.array(["a", "b"])), strict=True)
}


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
        encoder = fit_encoder(snapshot, ("price:number",))
    except BadInputError:
        return None
    return {items[index]: encoder(snapshot)[index].tolist() for index in snapshot.item_exists.nonzero()[0].tolist()}


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
