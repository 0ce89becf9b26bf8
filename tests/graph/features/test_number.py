"""Numbers of the catalog on the scale of the training window."""

import json

import numpy as np
import pytest

from graph.features.encoder import fit_encoder
from graph.features.number import FARTHEST, SCALINGS, Number, Scaling
from graph.snapshot import Snapshot, take_snapshot
from graph.storage.columns import EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from tests.graph.features.conftest import Shop

ATTRIBUTES = [{"price": 1, "size": "4"}, {"price": 3}, {"price": 1e9}, {"price": True, "name": "x"}, None]


@pytest.fixture
def snapshot(shop: Shop) -> Snapshot:
    """Five items, the first two of which have events."""
    return shop(ATTRIBUTES, active=2)


@pytest.fixture
def stored(database: Database) -> Snapshot:
    rows = [{"item": f"i{n}", "attributes": one and json.dumps(one)} for n, one in enumerate(ATTRIBUTES)]
    upsert_items(database, table_of(ITEMS, rows), recorded_at=0)
    events = [{"user": "u", "item": f"i{n}", "kind": "view", "occurred_at": n} for n in range(2)]
    append_events(database, table_of(EVENTS, events), source="test", recorded_at=0)
    return take_snapshot(database, as_of=10)


def test_standard_and_min_max_on_the_items_of_the_window(snapshot: Snapshot) -> None:
    standard = fit_encoder(snapshot, ("price", "size"))
    assert standard.features[0].state() == {"centre": 2, "reach": 1}
    assert standard.features[1].state() == {"centre": 4, "reach": 1}  # one size: no spread
    x = standard(snapshot)
    assert x[:, 0].tolist() == [-1, 1, FARTHEST, 0, 0]
    assert x[:, 2].tolist() == [1, 1, 1, 0, 0]  # true is no number
    assert x[:, 3].tolist() == [1, 0, 0, 0, 0]
    spread = fit_encoder(snapshot, ("price",), "min_max")
    assert spread(snapshot)[:2, 0].tolist() == [0, 1]


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("absurd", [1e300, -1e300, 1e39, "1e300"])
def test_numbers_beyond_float32_are_missing(shop: Shop, scaling: Scaling, absurd: float | str) -> None:
    snapshot = shop([{"price": price} for price in (1, 3, absurd)])
    encoder = fit_encoder(snapshot, ("price:number",), scaling)
    expected = Number(2, 1) if scaling == "standard" else Number(1, 2)
    assert encoder.features[0].state() == expected.state()
    assert encoder(snapshot)[:, 1].tolist() == [1, 1, 0]
    assert encoder(snapshot)[2, 0] == 0


def test_attributes_are_part_of_what_a_snapshot_is(database: Database, stored: Snapshot) -> None:
    """And engines agree: PostgreSQL writes JSON in a way of its own."""
    encoder = fit_encoder(stored, ("price",))
    upsert_items(database, table_of(ITEMS, [{"item": "i4", "attributes": '{"price": 2}'}]), recorded_at=1)
    later = take_snapshot(database, as_of=10)
    assert later.content_hash != stored.content_hash
    assert encoder(later)[4].tolist() == [0, 1]
    assert encoder(stored)[4].tolist() == [0, 0]
    assert stored.item_attributes.to_pylist()[:3] == ['{"price":1,"size":"4"}', '{"price":3}', '{"price":1000000000}']


def test_a_number_far_out_is_drawn_in() -> None:
    x, known = Number(0, 1)([1e9, float("nan"), None])
    assert x[:, 0].tolist() == [FARTHEST, 0, 0]
    assert np.array_equal(known, [True, False, False])
