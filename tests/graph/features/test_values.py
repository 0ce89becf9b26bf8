"""What attributes are read as, and that a catalog is read once."""

import json
from typing import Any

import numpy as np
import pytest

from graph.features.values import described, kind_of, split_name, values_of
from tests.graph.features.conftest import Shop


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2.5, None], "number"),
        (["1", "2.50"], "number"),
        ([*["7"] * 95, *["n/a"] * 5], "number"),
        ([*["7"] * 80, *["n/a"] * 20], "label"),
        (["red", "blue"] * 10, "label"),
        ([True, False] * 10, "label"),
        ([["red", "wool"], ["blue"]], "label"),
        (["red", "blue"], "text"),  # two items of two colours: nothing is shared
        ([f"shoe {n}" for n in range(1000)], "text"),
        ([f"brand {n % 200}" for n in range(10_000)], "text"),
        ([np.ones(3, np.float32), None], "vector"),
        ([None, None], None),
    ],
)
def test_the_kind(values: list[Any], kind: str | None) -> None:
    assert kind_of(values) == kind


def test_a_kind_is_named_behind_the_last_colon() -> None:
    assert split_name("title:text") == ("title", "text")
    assert split_name("year:token") == ("year:token", None)
    assert split_name("year:token:number") == ("year:token", "number")
    assert split_name("text") == ("text", None)
    assert split_name(":text") == (":text", None)


def test_each_text_is_parsed_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    dear, cheap = {"price": 3}, {"price": 1, "size": 2}
    snapshot = shop([cheap, dear, cheap, dear, dear])
    parsed: list[str] = []

    def loads(text: str) -> Any:
        parsed.append(text)
        return json.JSONDecoder().decode(text)

    monkeypatch.setattr("graph.features.values.json.loads", loads)
    for _ in range(2):
        price, size = values_of(snapshot, ("price", "size"))
        assert (price, size) == ([1, 3, 1, 3, 3], [2, None, 2, None, None])
    assert parsed == ['{"price": 1, "size": 2}', '{"price": 3}']


def test_the_name_of_an_item_is_a_feature_unless_an_attribute_is_called_so(shop: Shop) -> None:
    snapshot = shop([{"price": 1}, {"price": 2}])
    assert values_of(snapshot, ("name",)) == [["item 0", "item 1"]]
    assert described(snapshot) == ["price (number)", "name (text)"]
    assert values_of(shop([{"name": "other"}, {"price": 2}]), ("name",)) == [["other", None]]


def test_what_is_no_value_is_none(shop: Shop) -> None:
    snapshot = shop([{"a": {"b": 1}}, {"a": [1, "x", None]}, {"a": []}, {"a": [1, True]}, {"a": [[1]]}])
    assert values_of(snapshot, ("a",)) == [[None, [1, "x"], [], [1, True], []]]


def test_lists_of_numbers_are_vectors_also_as_text(shop: Shop) -> None:
    (values,) = values_of(shop([{"v": [1, 0.5]}, {"v": "[1, 0.5]"}, {"v": [1, None]}, {"v": "[sold out]"}]), ("v",))
    assert [value.tolist() for value in values[:2]] == [[1, 0.5]] * 2
    assert values[0].dtype == np.float32
    assert np.array_equal(values[2], [1, np.nan], equal_nan=True)
    assert values[3] == "[sold out]"
