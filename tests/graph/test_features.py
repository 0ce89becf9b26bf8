"""Numbers of the catalog on the scale of the training window; test_no_leak.py shows that nothing later counts."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from graph.build import build_graph, check_graph
from graph.features import FARTHEST, SCALINGS, Scaler, Scaling, add_features, fit_scaler, numbers, numeric_attributes
from graph.snapshot import Snapshot, take_snapshot
from graph.storage.columns import EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.items import upsert_items

ATTRIBUTES = ['{"price": 1, "size": "4"}', '{"price": 3}', '{"price": 1e9}', '{"price": true, "name": "x"}', None]


@pytest.fixture
def snapshot(database: Database) -> Snapshot:
    """Five items, the first two of which have events."""
    rows = [{"item": f"i{n}", "attributes": text} for n, text in enumerate(ATTRIBUTES)]
    upsert_items(database, table_of(ITEMS, rows), recorded_at=0)
    events = [{"user": "u", "item": f"i{n}", "kind": "view", "occurred_at": n} for n in range(2)]
    append_events(database, table_of(EVENTS, events), source="test", recorded_at=0)
    return take_snapshot(database, as_of=10)


def test_standard_and_min_max_on_the_items_of_the_window(snapshot: Snapshot) -> None:
    standard = fit_scaler(snapshot, ("price", "size"))
    assert (standard.centre.tolist(), standard.reach.tolist()) == (
        [2, 4],
        [1, 1],
    )  # one size: no spread
    x = standard(snapshot)
    assert x[:, 0].tolist() == [-1, 1, FARTHEST, 0, 0]
    assert x[:, 2].tolist() == [1, 1, 1, 0, 0]  # true is no number
    assert x[:, 3].tolist() == [1, 0, 0, 0, 0]
    spread = fit_scaler(snapshot, ("price",), "min_max")
    assert spread(snapshot)[:2, 0].tolist() == [0, 1]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("absurd", ["1e300", "-1e300", "1e39", '"1e300"'])
def test_numbers_beyond_float32_are_missing(database: Database, scaling: Scaling, absurd: str) -> None:
    rows = [{"item": f"i{n}", "attributes": f'{{"price": {text}}}'} for n, text in enumerate(["1", "3", absurd])]
    upsert_items(database, table_of(ITEMS, rows), recorded_at=0)
    events = [{"user": "u", "item": f"i{n}", "kind": "view", "occurred_at": n} for n in range(3)]
    append_events(database, table_of(EVENTS, events), source="test", recorded_at=0)
    snapshot = take_snapshot(database, as_of=10)
    scaler = fit_scaler(snapshot, ("price",), scaling)
    assert (scaler.centre.tolist(), scaler.reach.tolist()) == (([2], [1]) if scaling == "standard" else ([1], [2]))
    assert scaler(snapshot)[:, 1].tolist() == [1, 1, 0]
    assert scaler(snapshot)[2, 0] == 0


def test_each_text_is_parsed_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ['{"price": 1, "size": 2}', '{"price": 3}', '{"price": 1, "size": 2}', '{"price": 3}', '{"price": 3}']
    rows = [{"item": f"i{n}", "attributes": text} for n, text in enumerate(texts)]
    upsert_items(database, table_of(ITEMS, rows), recorded_at=0)
    events = [{"user": "u", "item": f"i{n}", "kind": "view", "occurred_at": n} for n in range(5)]
    append_events(database, table_of(EVENTS, events), source="test", recorded_at=0)
    snapshot = take_snapshot(database, as_of=10)
    parsed: list[str] = []

    def loads(text: str) -> Any:
        parsed.append(text)
        return json.JSONDecoder().decode(text)

    monkeypatch.setattr("graph.features.json.loads", loads)
    scaler = fit_scaler(snapshot, ("price", "size"), "min_max")
    assert scaler(snapshot)[:, 0].tolist() == [0, 1, 0, 1, 1]
    assert scaler(snapshot)[:, 3].tolist() == [1, 0, 1, 0, 0]
    assert parsed == ['{"price":1,"size":2}', '{"price":3}']
    assert numeric_attributes(snapshot) == ["price", "size"]


def test_the_graph_carries_them(snapshot: Snapshot) -> None:
    graph = build_graph(snapshot)
    add_features(graph, snapshot, fit_scaler(snapshot, ("price",)))
    check_graph(graph)
    assert graph["item"].x.shape == (5, 2)
    assert graph["item"].x.isfinite().all()


def test_names_without_a_number_are_refused_and_the_others_told(snapshot: Snapshot) -> None:
    assert numeric_attributes(snapshot) == ["price", "size"]
    with pytest.raises(BadInputError, match="has a number") as caught:
        fit_scaler(snapshot, ("colour",))
    assert "price, size" in str(caught.value.hint)


def test_attributes_are_part_of_what_a_snapshot_is(database: Database, snapshot: Snapshot) -> None:
    upsert_items(database, table_of(ITEMS, [{"item": "i4", "attributes": '{"price": 2}'}]), recorded_at=1)
    later = take_snapshot(database, as_of=10)
    assert later.content_hash != snapshot.content_hash
    assert numbers(later, ("price",))[4] == 2
    assert np.isnan(numbers(snapshot, ("price",))[4])


def test_engines_agree(snapshot: Snapshot) -> None:
    """PostgreSQL writes JSON in a way of its own."""
    assert snapshot.item_attributes.to_pylist()[:3] == ['{"price":1,"size":"4"}', '{"price":3}', '{"price":1000000000}']


def test_what_cannot_be_a_number_is_missing(make_snapshot: Callable[..., Snapshot]) -> None:
    empty = make_snapshot([])
    assert Scaler(("price",), np.zeros(1), np.ones(1))(empty).tolist() == [[0, 0]] * len(empty.items)
    assert pa.types.is_string(empty.item_attributes.type)
