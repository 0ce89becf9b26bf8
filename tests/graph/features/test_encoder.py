"""Features of all kinds side by side, from the training window alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from graph.build import build_graph, check_graph
from graph.features.encoder import FeatureEncoder, add_features, fit_encoder
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError
from tests.graph.features.conftest import Shop

COLOURS = ("red", "green", "blue")


def described(n: int) -> dict[str, Any]:
    """Item n: everything of every fifth, and each of the others lacks one thing."""
    colour = COLOURS[n % 3]
    whole = {
        "price": n % 10 / 10,
        "colour": colour,
        "title": f"{colour} shoe {n % 11}",
        "image": [float(n), 1.0, n % 2 - 1],
    }
    return {name: value for place, (name, value) in enumerate(whole.items()) if place != n % 5}


NAMES = ("price", "colour", "title", "image")


@pytest.fixture
def snapshot(shop: Shop) -> Snapshot:
    return shop([described(n) for n in range(60)])


def test_kinds_are_seen_from_the_values_and_missing_ones_stand_at_nothing(snapshot: Snapshot) -> None:
    encoder = fit_encoder(snapshot, NAMES)
    assert [feature.kind for feature in encoder.features] == ["number", "label", "text", "vector"]
    x = encoder(snapshot)
    width = sum(encoder.widths)
    assert x.shape == (60, width + 4)
    assert np.isfinite(x).all()
    blocks = np.split(x[:, :width], np.cumsum(encoder.widths)[:-1], axis=1)
    for place, block in enumerate(blocks):
        lacks = np.arange(60) % 5 == place
        assert (x[:, width + place] == ~lacks).all()
        assert (block[lacks] == 0).all()
        assert np.mean((block[~lacks] ** 2).sum(axis=1)) == pytest.approx(1, abs=0.05)


def test_a_kind_can_be_insisted_on(snapshot: Snapshot) -> None:
    encoder = fit_encoder(snapshot, ("colour:text", "price:label", "name:text"))
    assert encoder.names == ("colour", "price", "name")
    assert [feature.kind for feature in encoder.features] == ["text", "label", "text"]


def test_the_state_makes_the_same_encoder(snapshot: Snapshot) -> None:
    encoder = fit_encoder(snapshot, NAMES)
    again = FeatureEncoder.of_state(encoder.names, encoder.state())
    assert (again(snapshot) == encoder(snapshot)).all()
    assert all(array.dtype.kind in "if" for array in encoder.state().values())


def test_items_without_events_teach_nothing(shop: Shop) -> None:
    before = fit_encoder(shop([described(n) for n in range(60)]), NAMES).state()
    later = {"price": 1e6, "colour": "mauve", "title": "a brand-new kind of boot", "image": [5, 5, 5]}
    after = fit_encoder(shop([described(n) for n in range(60)] + [later] * 40, active=60), NAMES).state()
    assert before.keys() == after.keys()
    assert all((before[name] == after[name]).all() for name in before)


def test_a_newer_item_is_seen_by_what_the_window_knew(shop: Shop, snapshot: Snapshot) -> None:
    encoder = fit_encoder(snapshot, NAMES)
    new = {"price": 3.0, "colour": "mauve", "title": "green boot", "image": [1.0, 2.0]}
    x = encoder(shop([*(described(n) for n in range(60)), new]))[-1]
    assert x[-4:].tolist() == [1, 0, 1, 0]  # no such colour was known, and the vector is of another length
    greens = [n for n in range(60) if n % 3 == 1 and n % 5 not in (1, 2)]
    others = [n for n in range(60) if n % 3 != 1 and n % 5 not in (1, 2)]
    text = slice(encoder.widths[0] + encoder.widths[1], sum(encoder.widths[:3]))
    alike = encoder(snapshot)[:, text] @ x[text]
    assert alike[greens].min() > alike[others].max()


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ("size", "has an attribute 'size'"),
        ("title:number", "has a number 'title'"),
        ("price:vector", "are no lists of numbers"),
        ("same:text", "say the same in 'same'"),
        ("same:label", "share 1 labels in 'same'"),
        ("ragged", "have 1 and 2 numbers"),
        ("level", "have the same vector"),
        ("gaps", "has gaps"),
        ("huge", "beyond the range of float32"),
        ("blank:text", "have no words in 'blank'"),
    ],
)
def test_what_cannot_be_read_is_said(shop: Shop, feature: str, message: str) -> None:
    rest = {"same": "new", "level": [1, 2], "blank": "!", "gaps": [1, None], "huge": [1e300, 1]}
    snapshot = shop([described(n) | rest | {"ragged": [1.0] * (1 + n % 2)} for n in range(60)])
    with pytest.raises(BadInputError, match=message) as caught:
        fit_encoder(snapshot, (feature,))
    if feature == "size":
        assert "price (number)" in str(caught.value.hint)
        assert "title (text)" in str(caught.value.hint)
        assert "image (vector)" in str(caught.value.hint)


def test_a_name_twice_is_refused(snapshot: Snapshot) -> None:
    with pytest.raises(BadInputError, match="named twice"):
        fit_encoder(snapshot, ("price", "price:label"))


def test_the_graph_carries_them(snapshot: Snapshot) -> None:
    graph = build_graph(snapshot)
    encoder = fit_encoder(snapshot, NAMES)
    add_features(graph, snapshot, encoder)
    check_graph(graph)
    assert graph["item"].x.shape == (60, sum(encoder.widths) + 4)


def test_an_empty_store_has_columns_and_no_rows(snapshot: Snapshot, make_snapshot: Callable[..., Snapshot]) -> None:
    encoder, empty = fit_encoder(snapshot, NAMES), make_snapshot([])
    assert not encoder(empty).any()
    assert encoder(empty).shape == (len(empty.items), sum(encoder.widths) + 4)
