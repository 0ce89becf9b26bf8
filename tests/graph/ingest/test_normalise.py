"""Source columns become canonical columns; each kind of dirt has its own reason."""

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from graph.ingest.batch import LINE
from graph.ingest.mapping import Categories, Events, Items, Time, Users
from graph.ingest.normalise import (
    Normal,
    normalise_categories,
    normalise_events,
    normalise_items,
    normalise_users,
)
from graph.ingest.time_columns import micros
from graph.storage.columns import EVENTS
from graph.storage.errors import BadInputError
from graph.storage.times import parse_time


def frame(**columns: Any) -> pl.DataFrame:
    rows = pl.DataFrame(columns, strict=False)
    return rows.with_columns((pl.int_range(pl.len()) + 2).alias(LINE))


def why(normal: Normal) -> dict[int, str]:
    return {reject.line: reject.reason for reject in normal.rejects}


EVENT = {"user": "u", "item": "i", "kind": "view", "occurred_at": {"column": "t"}}
T = "2020-01-01"


def events(rows: pl.DataFrame, **options: Any) -> Normal:
    return normalise_events(rows, Events.model_validate({**EVENT, **options}))


def test_ids_of_any_type_are_text_and_whole_floats_lose_their_point() -> None:
    normal = events(frame(u=[1.0, 2.5, None], i=[7, 8, 9], t=[T] * 3))
    assert normal.rows["user"].to_list() == ["1", "2.5"]
    assert normal.rows["item"].to_list() == ["7", "8"]
    assert why(normal) == {4: "no user"}


def test_missing_fields_are_named_and_the_source_row_is_kept() -> None:
    normal = events(frame(u=["a", " ", "c", "d"], i=["x", "x", None, "x"], t=[T, T, T, ""], extra=[1, 2, 3, 4]))
    assert normal.rows[LINE].to_list() == [2]
    assert why(normal) == {3: "no user", 4: "no item", 5: "no time in t"}
    assert normal.rejects[0].row == {"u": " ", "i": "x", "t": T, "extra": 2}


@pytest.mark.parametrize("values", [["1", "x", "nan", "inf", "", "-2.5"], [1.0, None, float("nan"), float("inf")]])
def test_values_are_finite_numbers(values: list[Any]) -> None:
    count = len(values)
    normal = events(frame(u=["a"] * count, i=["x"] * count, t=[T] * count, v=values), value="v")
    if count == 6:
        assert normal.rows["value"].to_list() == [1.0, None, -2.5]
        assert why(normal) == {line: f"value is not a finite number: '{values[line - 2]}'" for line in (3, 4, 5)}
    else:
        # A float column says missing with NaN as often as with null, but an event's value is too dear to guess.
        assert normal.rows["value"].to_list() == [1.0, None]
        assert sorted(why(normal)) == [4, 5]


def test_kinds_from_a_column_with_and_without_translation() -> None:
    rows = frame(u=["a"] * 3, i=["x"] * 3, t=[T] * 3, k=["click", None, "buy"])
    assert events(rows, kind={"column": "k"}).rows["kind"].to_list() == ["click", "buy"]
    normal = events(rows, kind={"column": "k", "values": {"buy": "purchase"}})
    assert normal.rows["kind"].to_list() == ["purchase"]
    assert why(normal) == {2: "unknown kind: 'click'", 3: "no kind"}


def test_session_sequence_context_and_ids() -> None:
    rows = frame(u=["a"] * 2, i=["x"] * 2, t=[T] * 2, s=[11, 12], n=["0", "1.5"], e=["e1", "e2"], c=['q"', None])
    normal = events(rows, session="s", sequence="n", event_id="e", context={"page": "c"}, recorded_at={"column": "t"})
    row = normal.table(EVENTS).to_pylist()[0]
    assert row == {
        "event_id": "e1", "user": "a", "item": "x", "kind": "view", "session_key": "11", "sequence": 0,
        "context": '{"page":"q\\""}', "occurred_at": parse_time(T), "recorded_at": parse_time(T),
    }  # fmt: skip
    assert why(normal) == {3: "sequence is not a whole number: '1.5'"}


def test_a_retraction_needs_no_item() -> None:
    rows = frame(u=["a", "a"], i=[None, None], t=[T, T], k=["retract", "view"], r=["e1", None])
    normal = events(rows, kind={"column": "k"}, retracts="r")
    assert normal.rows["retracts"].to_list() == ["e1"]
    assert why(normal) == {3: "no item"}


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("values", "time", "expected"),
    [
        (["1500000000", "1.5e9", "x", "1500000000.25"], {"format": "unix_seconds"}, [
            "2017-07-14T02:40:00", "2017-07-14T02:40:00", None, "2017-07-14T02:40:00.25"]),
        ([1500000000000, 99999999999999999], {"format": "unix_millis"}, ["2017-07-14T02:40:00", None]),
        ([1500000000000], {"format": "unix_seconds"}, [None]),
        (["2017-07-14", "2017-07-14T02:40", "2017-07-14 02:40:00.5Z", "2017-07-14T02:40:00+02:00", "20170714"], {}, [
            "2017-07-14", "2017-07-14T02:40:00", "2017-07-14T02:40:00.5", "2017-07-14T00:40:00", None]),
        (["2017-02-30", "2017-01-01T25:00", "2017-07-14T02:40:00-0330", "2017-07-14T02:40:00+05"], {}, [
            None, None, "2017-07-14T06:10:00", "2017-07-13T21:40:00"]),
        (["2017-07-14T12:00", "2017-07-14T12:00Z", "2017-03-26T02:30", "2017-10-29T02:30"], {"zone": BERLIN}, [
            "2017-07-14T10:00", "2017-07-14T12:00", None, "2017-10-29T00:30"]),
        (["14.07.2017 12:00", "7/14/2017"], {"format": "%d.%m.%Y %H:%M", "zone": BERLIN}, ["2017-07-14T10:00", None]),
        (["14.07.2017"], {"format": "%d.%m.%Y"}, ["2017-07-14"]),
        (["14.07.2017 12:00 +0200"], {"format": "%d.%m.%Y %H:%M %z"}, ["2017-07-14T10:00"]),
        ([datetime(2017, 7, 14, 12), None], {"zone": BERLIN}, ["2017-07-14T10:00", None]),
        ([date(2017, 7, 14)], {"format": "unix_seconds"}, ["2017-07-14"]),
        (["1017-07-14", "2217-07-14"], {}, [None, None]),
    ],
)  # fmt: skip
def test_times(values: list[Any], time: dict[str, str], expected: list[str | None]) -> None:
    rows = frame(t=values)
    got = micros(rows, Time.model_validate({"column": "t", **time})).to_list()
    assert got == [None if text is None else parse_time(text) for text in expected]


def test_zoned_time_columns_are_converted() -> None:
    rows = frame(t=[datetime(2017, 7, 14, 12)]).with_columns(pl.col("t").dt.replace_time_zone("Asia/Tokyo"))
    assert micros(rows, Time(column="t", zone=BERLIN)).to_list() == [parse_time("2017-07-14T03:00")]


def test_numbers_where_text_times_are_expected_are_refused_as_a_whole() -> None:
    with pytest.raises(BadInputError, match="holds Int64, not times as text"):
        events(frame(u=["a"], i=["x"], t=[1500000000]))


def test_bad_times_are_named() -> None:
    normal = events(frame(u=["a"], i=["x"], t=["yesterday"]))
    assert why(normal) == {2: "no usable time in t: 'yesterday'"}


def items(rows: pl.DataFrame, **options: Any) -> Normal:
    return normalise_items(rows, Items.model_validate({"id": "i", **options}))


def test_names_from_templates_collapse_nulls() -> None:
    rows = frame(
        i=[1, 2, 3, 4], a=["Milk", None, None, "Tea"], b=["Dairy", "Bread", None, None], c=["1 L", None, "x", ""]
    )
    normal = items(rows, name="{a|b}, {c} ({b})")
    assert normal.rows["name"].to_list() == ["Milk, 1 L (Dairy)", "Bread, (Bread)", "x", "Tea"]


def test_attributes_are_json_that_does_not_depend_on_neighbours() -> None:
    wide = items(frame(i=[1, 2], n=[5, 2.5], s=['a"b', None], d=[{"k": 1}, {"l": 2}]), attributes=["n", "s", "d"])
    assert wide.rows["attributes"].to_list() == ['{"n":5,"s":"a\\"b","d":{"k":1}}', '{"n":2.5,"d":{"l":2}}']
    alone = items(frame(i=[1], n=[5], s=['a"b'], d=[{"k": 1}]), attributes=["n", "s", "d"])
    assert alone.rows["attributes"][0] == wide.rows["attributes"][0]
    assert items(frame(i=[1], s=[None]), attributes={"x": "s"}).rows["attributes"].to_list() == [None]


def test_infinite_attributes_are_refused_and_nan_is_missing() -> None:
    normal = items(frame(i=[1, 2], n=[float("nan"), float("inf")]), attributes=["n"])
    assert normal.rows["attributes"].to_list() == [None]
    assert why(normal) == {3: "an infinite number"}


def test_vectors_pass_whole_and_what_is_no_number_in_them_shows() -> None:
    vectors = frame(i=[1, 2, 3], v=[[0.1, 2], None, [float("nan"), 1]])
    assert items(vectors, attributes=["v"]).rows["attributes"].to_list() == [
        '{"v":[0.1,2.0]}',
        None,
        '{"v":[null,1.0]}',
    ]


def test_availability() -> None:
    normal = items(frame(i=[1, 2, 3, 4], a=["Yes", "0", None, "soon"]), available="a")
    assert normal.rows["available"].to_list() == [True, False, True]
    assert why(normal) == {5: "available is neither true nor false: 'soon'"}


def nodes(normal: Normal) -> dict[str, tuple[str, str | None]]:
    assert normal.nodes is not None
    return {row["category"]: (row["name"], row["parent"]) for row in normal.nodes.iter_rows(named=True)}


def test_a_path_in_columns_stops_at_the_first_gap() -> None:
    rows = frame(i=[1, 2, 3], x=["A", "A", None], y=["B", None, "B"], z=["C", "C", "C"])
    normal = items(rows, categories=[{"columns": ["x", "y", "z"]}])
    assert normal.rows["categories"].to_list() == [["A > B > C"], ["A"], []]
    assert nodes(normal) == {"A": ("A", None), "A > B": ("B", "A"), "A > B > C": ("C", "A > B")}


def test_a_root_stands_above_what_an_entry_creates() -> None:
    normal = items(frame(i=[1, 2], m=[69, None]), categories=[{"columns": ["m"], "root": "Manufacturer"}])
    assert normal.rows["categories"].to_list() == [["Manufacturer > 69"], []]
    assert nodes(normal) == {"Manufacturer": ("Manufacturer", None), "Manufacturer > 69": ("69", "Manufacturer")}


def test_a_step_of_a_path_may_be_a_template() -> None:
    rows = frame(i=[1, 2, 3], m=[69, None, None], d=["A", "B", None], t=["x", "y", "z"])
    normal = items(rows, categories=[{"columns": ["Dept {d}", "{t} ({m})"]}, {"columns": ["Maker {m|d}"]}])
    assert normal.rows["categories"].to_list() == [
        ["Dept A > x (69)", "Maker 69"],
        ["Dept B > y", "Maker B"],
        [],
    ]


@pytest.mark.parametrize("values", [["A > B | C", " |A>B", None], [["A > B", "C"], ["", "A>B"], None]])
def test_one_column_with_several_paths(values: list[Any]) -> None:
    entry = {"column": "p", "path_separator": ">", "separator": "|"}
    normal = items(frame(i=[1, 2, 3], p=values), categories=[entry])
    assert normal.rows["categories"].to_list() == [["A > B", "C"], ["A > B"], []]
    assert nodes(normal) == {"A": ("A", None), "C": ("C", None), "A > B": ("B", "A")}


def test_ids_of_a_table_and_several_entries_join() -> None:
    rows = frame(i=[1, 2], ids=["5, 7,5", None], g=["x", "y z"])
    normal = items(rows, categories=[{"ids": "ids", "separator": ","}, {"column": "g", "separator": " "}])
    assert normal.rows["categories"].to_list() == [["5", "7", "x"], ["y", "z"]]
    assert set(nodes(normal)) == {"x", "y", "z"}


def test_steps_that_contain_the_arrow_stay_apart() -> None:
    rows = frame(i=[1, 2], x=["A > B", "A"], y=[None, "B"])
    normal = items(rows, categories=[{"columns": ["x", "y"]}])
    assert normal.rows["categories"].to_list() == [["A \\> B"], ["A > B"]]
    assert nodes(normal)["A \\> B"] == ("A > B", None)


def test_a_refused_item_creates_no_category() -> None:
    normal = items(frame(i=[None, 2], x=["A", "B"]), categories=[{"columns": ["x"], "root": "R"}])
    assert set(nodes(normal)) == {"R", "R > B"}
    assert why(normal) == {2: "no id"}


def test_a_category_table_with_parents_and_roots() -> None:
    rows = frame(id=[1, 2, 3, 4], n=["A", None, "C", "D"], p=[None, 1, None, 4], k=["kind", "kind", None, "kind"])
    normal = normalise_categories(rows, Categories(id="id", name="n", parent="p", root="{k}"))
    assert normal.rows["category"].to_list() == ["1", "2", "3"]
    assert normal.rows["parent"].to_list() == ["kind", "1", None]
    assert nodes(normal) == {"kind": ("kind", None)}
    assert why(normal) == {5: "a category cannot be its own parent"}


def test_users_with_attributes() -> None:
    normal = normalise_users(
        frame(u=["a", None], age=["65+", "x"]), Users.model_validate({"id": "u", "attributes": ["age"]})
    )
    assert normal.rows["attributes"].to_list() == ['{"age":"65+"}']
    assert why(normal) == {3: "no id"}


def test_a_root_that_contains_the_arrow_is_escaped_on_both_sides() -> None:
    normal = normalise_categories(frame(id=[1]), Categories(id="id", root="A > B"))
    assert normal.rows["parent"].to_list() == ["A \\> B"]
    assert nodes(normal) == {"A \\> B": ("A > B", None)}
