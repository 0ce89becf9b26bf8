from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from graph.storage.columns import EVENTS, table_of
from graph.storage.event_ids import EventIds

EVENT = {"user": "ann", "item": "tea", "kind": "view", "occurred_at": 5}


def ids(*batches: list[dict[str, Any]], source: str = "test") -> list[str]:
    maker = EventIds(source)
    frames = [pl.DataFrame(table_of(EVENTS, rows)) for rows in batches]
    return [identity for frame in frames for identity in maker.fill(frame)["event_id"].to_list()]


def test_ids_come_from_the_content_for_good() -> None:
    """Stored for ever: another value here means that loading an old file again would double its events."""
    assert ids([EVENT]) == ["25ba91ad15a8a4f79e1810148e453915"]


def test_given_ids_are_kept() -> None:
    first, second, third = ids([EVENT | {"event_id": "mine"}, EVENT, EVENT | {"event_id": "x"}])
    assert (first, third) == ("mine", "x")
    assert second == ids([EVENT])[0]


def test_every_field_counts() -> None:
    others: list[dict[str, Any]] = [
        {"user": "bob"}, {"item": "milk"}, {"kind": "cart"}, {"occurred_at": 6}, {"value": 1.0}, {"value": 2.0},
        {"context": "{}"}, {"session_key": "s"}, {"sequence": 0}, {"retracts": "s"},
    ]  # fmt: skip
    made = [ids([EVENT | other])[0] for other in others] + ids([EVENT], source="other") + ids([EVENT])
    assert len(set(made)) == len(made)
    # When we learned of it does not, and there is one zero.
    assert ids([EVENT | {"recorded_at": 9}]) == ids([EVENT])
    assert ids([EVENT | {"value": 0.0}]) == ids([EVENT | {"value": -0.0}])


def test_no_text_can_imitate_two_fields() -> None:
    assert ids([EVENT | {"user": "a:1:b", "item": "c"}]) != ids([EVENT | {"user": "a", "item": "b:1:c"}])


@given(st.lists(st.sampled_from("abc"), max_size=20), st.lists(st.integers(0, 20), max_size=3))
def test_equal_rows_are_numbered_wherever_batches_end(users: list[str], cuts: list[int]) -> None:
    rows = [EVENT | {"user": name} for name in users]
    borders = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    batches = [rows[start:end] for start, end in pairwise(borders)]
    made = ids(*batches)
    assert made == ids(rows)
    assert len(set(made)) == len(rows)
    # A set of rows has one set of ids, in whatever order they come.
    assert sorted(made) == sorted(ids(rows[::-1]))
