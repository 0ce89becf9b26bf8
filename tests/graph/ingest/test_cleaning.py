"""Cleaning does what its flags say and nothing else, says what it did, and never makes one event into two."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from typer.testing import CliRunner

from graph.ingest.cleaning import parse
from graph.ingest.event_filters import HOUR_US, EventFilters, choose, keys_of
from graph.ingest.load import TableSummary, load
from graph.ingest.mapping import load_mapping
from graph.ingest.numeric_fields import FieldRule, NumericFields, Outliers, fit
from graph.schema import RETRACT
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.times import SECOND_US
from server.cli import app

MAPPING = """
source = "shop"
[items]
file = "items.csv"
id = "id"
attributes = ["price", "colour"]
[events]
file = "events.csv"
user = "u"
item = "i"
kind = { column = "k" }
value = "v"
occurred_at = { column = "t", format = "unix_seconds" }
unknown_items = "create"
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.toml").write_text(MAPPING)
    (tmp_path / "items.csv").write_text("id,price,colour\na,1,red\nb,,blue\nc,3,\nd,900,red\ne,2,red\n")
    rows = ["u,i,k,v,t"]
    rows += [f"u{n % 5},i{n % 3},rating,{n % 5 + 1},{1_000 * n}" for n in range(40)]
    rows += ["u1,i1,rating,,500000", "u1,i2,rating,500,600000", "u2,i2,purchase,700,650000", "u3,i1,rating,oops,1"]
    (tmp_path / "events.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def loaded(database: Database | None, shop: Path, **flags: Any) -> dict[str, TableSummary]:
    mapping = load_mapping(shop / "shop.toml")
    files = {"items": shop / "items.csv", "events": shop / "events.csv"}
    if only := flags.pop("only", None):
        files = {only: files[only]}
    cleaning = parse(flags.pop("missing", []), flags.pop("outliers", []), **flags)
    summaries = load(database, mapping, files, shop / "rejects.jsonl", cleaning=cleaning)  # type: ignore[arg-type]  # a dict of fewer names
    return {summary.table: summary for summary in summaries}


def rows_of(database: Database, query: str) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


VALUES = (
    "SELECT event_kind.name, interaction.value FROM interaction JOIN event_kind ON event_kind.id = kind_id"
    " WHERE occurred_at >= 500000000000 ORDER BY occurred_at"
)


def test_without_flags_nothing_is_cleaned(sqlite_database: Database, shop: Path) -> None:
    summary = loaded(sqlite_database, shop)["events"]
    assert summary.counts["accepted"] == 43
    assert summary.counts["cleaned"] == 0
    assert not any("cleaned" in note for note in summary.notes)
    assert rows_of(sqlite_database, VALUES) == [("rating", None), ("rating", 500.0), ("purchase", 700.0)]


def test_outliers_count_as_missing_and_missing_is_filled_kind_by_kind(database: Database, shop: Path) -> None:
    flags = {"missing": ["events.value=median"], "outliers": ["events.value=iqr:1.5"]}
    summary = loaded(database, shop, **flags)["events"]
    # 700 is far out among ratings, but the only purchase.
    assert rows_of(database, VALUES) == [("rating", 3.0), ("rating", 3.0), ("purchase", 700.0)]
    assert summary.notes == [
        "cleaned: 1 values of events.value far out (iqr 1.5) emptied",
        "cleaned: 2 missing values of events.value filled with the median",
    ]
    assert summary.counts["rejected"] == 1  # what is no number is not missing


def test_rows_without_a_number_may_be_dropped(sqlite_database: Database, shop: Path) -> None:
    summaries = loaded(
        sqlite_database, shop, missing=["events.value=drop", "items.price=drop"], outliers=["items.price=iqr"]
    )
    assert summaries["events"].counts["cleaned"] == 1
    assert summaries["events"].counts["accepted"] == 42
    assert summaries["items"].counts["cleaned"] == 2
    assert rows_of(sqlite_database, VALUES) == [("rating", 500.0), ("purchase", 700.0)]


def test_an_attribute_is_filled_and_the_others_stay(database: Database, shop: Path) -> None:
    summary = loaded(database, shop, missing=["items.price=mean"], outliers=["items.price=zscore:1.5"])["items"]
    assert summary.counts["accepted"] == 5
    cast = "attributes" if database.is_sqlite else "attributes::text"
    query = f"SELECT external_id, {cast} FROM item_version JOIN item ON item.id = item_id ORDER BY external_id"
    found = {key: value for key, value in rows_of(database, query) if key in "abcde"}
    assert json.loads(found["b"]) == {"price": "2", "colour": "blue"}
    assert json.loads(found["c"]) == {"price": "3"}
    assert json.loads(found["d"]) == {"price": "2", "colour": "red"}


def test_cleaning_otherwise_conflicts_and_doubles_nothing(database: Database, shop: Path) -> None:
    """Ids come from what the source said: one event stays one event, however its number was cleaned."""
    loaded(database, shop, missing=["events.value=mean"], outliers=["events.value=iqr"])
    before = rows_of(database, "SELECT count(*) FROM interaction")
    again = loaded(database, shop)["events"]
    assert rows_of(database, "SELECT count(*) FROM interaction") == before
    assert again.counts["duplicate"] == 41
    assert again.reasons["conflict"] == 2
    assert (
        loaded(database, shop, missing=["events.value=mean"], outliers=["events.value=iqr"])["events"].counts[
            "duplicate"
        ]
        == 43
    )


def test_retractions_have_no_number_to_be_missed(sqlite_database: Database, shop: Path) -> None:
    mapping = MAPPING.replace('value = "v"', 'value = "v"\nevent_id = "id"\nretracts = "r"')
    (shop / "shop.toml").write_text(mapping)
    (shop / "events.csv").write_text(f"id,u,i,k,v,t,r\n1,a,x,rating,4,10,\n2,a,y,rating,,20,\n3,a,x,{RETRACT},,30,1\n")
    summary = loaded(sqlite_database, shop, missing=["events.value=drop"], outliers=["events.value=iqr"])["events"]
    assert summary.counts["cleaned"] == 1
    assert summary.counts["accepted"] == 2
    assert rows_of(sqlite_database, "SELECT event_id FROM interaction ORDER BY event_id") == [("1",), ("3",)]


def test_counts_are_those_of_one_reading(sqlite_database: Database, shop: Path) -> None:
    summary = loaded(sqlite_database, shop, missing=["events.value=drop"], bots_per_hour=1_000)["events"]
    assert summary.counts["cleaned"] == 1
    assert summary.notes == ["cleaned: 1 rows dropped for want of events.value"]


@pytest.mark.parametrize("wrong", ["oops", "nan", "inf"])
def test_what_is_no_number_is_rejected_however_numbers_are_cleaned(
    sqlite_database: Database, shop: Path, wrong: str
) -> None:
    frame = pl.DataFrame({"id": ["a", "b", "c"], "price": [1.0, 2.0, float("inf") if wrong == "inf" else 3.0]})
    frame.write_parquet(shop / "items.parquet")
    (shop / "shop.toml").write_text(
        MAPPING.replace("items.csv", "items.parquet").replace(
            'attributes = ["price", "colour"]', 'attributes = ["price"]'
        )
    )
    if wrong != "inf":
        (shop / "events.csv").write_text(f"u,i,k,v,t\nu,a,rating,1,1\nu,b,rating,2,2\nu,c,rating,{wrong},3\n")
    mapping = load_mapping(shop / "shop.toml")
    table, path = ("items", "items.parquet") if wrong == "inf" else ("events", "events.csv")
    field = "items.price" if wrong == "inf" else "events.value"
    cleaning = parse([f"{field}=mean"], [f"{field}=iqr"])
    (summary,) = load(sqlite_database, mapping, {table: shop / path}, shop / "rejects.jsonl", cleaning=cleaning)  # type: ignore[dict-item]  # a str in place of the names
    assert (summary.counts["accepted"], summary.counts["rejected"], summary.counts["cleaned"]) == (2, 1, 0)


def test_a_dry_run_tells_the_same(sqlite_database: Database, shop: Path) -> None:
    flags: dict[str, Any] = {"missing": ["events.value=drop"], "bots_per_hour": 2, "k_core": 9}
    dry = loaded(None, shop, **flags)["events"]
    wet = loaded(sqlite_database, shop, **flags)["events"]
    assert dry.counts["cleaned"] == wet.counts["cleaned"] > 1
    assert dry.notes == wet.notes


def test_what_is_read_once_cannot_be_cleaned(shop: Path) -> None:
    mapping = load_mapping(shop / "shop.toml")
    cleaning = parse(["events.value=mean"], [])
    rejects = shop / "rejects.jsonl"
    load(None, mapping, {"events": shop / "events.csv"}, rejects)
    with pytest.raises(BadInputError, match="rejects file cannot be cleaned"):
        load(None, mapping, {"events": rejects}, shop / "again.jsonl", mended=True, cleaning=cleaning)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"missing": ["events.value=zero"]}, "FIELD=drop|mean|median|mode"),
        ({"missing": ["items.weight=mean"]}, "items.price"),
        ({"outliers": ["events.value=zscore:-1"]}, "zscore:3"),
        ({"outliers": ["events.value=iqr:x"]}, "zscore:3"),
        ({"bots_per_hour": 0}, "Leave it out"),
        ({"repeats_within_s": float("nan")}, "Leave it out"),
        ({"bots_per_hour": 5, "only": "items"}, "or load events too"),
        ({"missing": ["events.value=mean"], "only": "items"}, "What is loaded has items.price"),
    ],
)
def test_flags_that_make_no_sense(shop: Path, flags: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        loaded(None, shop, **flags)
    assert said in str(caught.value.hint)


def test_the_command_names_what_it_cleaned(sqlite_database: Database, sqlite_url: str, shop: Path) -> None:
    arguments = ["ingest", str(shop / "shop.toml"), "--database", sqlite_url, "--rejects", str(shop / "r.jsonl")]
    result = CliRunner().invoke(app, [*arguments, "--k-core", "12", "--outliers", "events.value=zscore:2"])
    assert result.exit_code == 0, result.output
    assert "outside the 12-core dropped" in result.output
    assert "far out (zscore 2) emptied" in result.output


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30), limit=st.floats(0.5, 4))
def test_limits_are_those_of_the_definitions(values: list[float], limit: float) -> None:
    numbers = np.array(values)
    scored = fit(numbers, FieldRule("v", "v", "mean", Outliers("zscore", limit)))
    distance, farthest = np.abs(numbers - numbers.mean()), limit * numbers.std()
    outside = (numbers < scored.low) | (numbers > scored.high)
    is_clear = ~np.isclose(distance, farthest, rtol=1e-9)  # at the limit itself rounding decides
    np.testing.assert_array_equal(outside[is_clear], (distance > farthest)[is_clear])
    if not outside.all():
        assert scored.fill == pytest.approx(numbers[~outside].mean())
    ranged = fit(numbers, FieldRule("v", "v", "mode", Outliers("iqr", limit)))
    first, third = np.quantile(numbers, [0.25, 0.75])
    assert ranged.low == pytest.approx(first - limit * (third - first))
    inside = [value for value in values if ranged.low <= value <= ranged.high]
    assert ranged.fill in inside if inside else ranged.fill is None


def test_a_group_without_numbers_stays_as_it_is() -> None:
    fields = NumericFields([FieldRule("v", "v", "mean")], pl.col("k"))
    rows = pl.DataFrame({"v": [1.0, None, None], "k": ["a", "a", None]})
    fields.fit([rows])
    assert fields.apply(rows)["v"].to_list() == [1.0, 1.0, None]


def events(*rows: tuple[str, str, str, int]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["user", "item", "kind", "occurred_at"], orient="row").with_row_index("row")


def test_bots_are_users_with_too_many_events_in_one_hour() -> None:
    hour = HOUR_US
    rows = events(
        *(("bot", "a", "view", 10 * hour + second) for second in range(4)),
        ("bot", "b", "purchase", 99 * hour),
        *(("human", "a", "view", 5 * hour + third * hour // 2) for third in range(4)),
    )
    stays, went = choose(EventFilters(bots_per_hour=3), [keys_of(rows)], len(rows))
    assert stays.tolist() == [False] * 5 + [True] * 4
    assert list(went.values()) == [5]
    assert "1 bots" in next(iter(went))


def test_of_a_run_of_the_same_event_the_first_stays() -> None:
    s = SECOND_US
    rows = events(
        ("u", "a", "view", 100 * s),
        ("u", "a", "view", 109 * s),
        ("u", "a", "view", 118 * s),  # 9 s after the one before
        ("u", "a", "view", 128 * s),  # 10 s: [t, t + 10 s) is over
        ("u", "a", "cart", 101 * s),
        ("v", "a", "view", 101 * s),
    )
    stays, _ = choose(EventFilters(repeats_within_us=10 * s), [keys_of(rows)], len(rows))
    assert stays.tolist() == [True, False, False, True, True, True]


PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=60)


@given(pairs=PAIRS, k=st.integers(1, 5), cut=st.integers(1, 60))
def test_the_k_core_is_the_largest_in_which_all_have_k(pairs: list[tuple[int, int]], k: int, cut: int) -> None:
    rows = events(*((f"u{u}", f"i{i}", "view", n) for n, (u, i) in enumerate(pairs)))
    batches = [keys_of(rows[begin : begin + cut]) for begin in range(0, len(rows), cut)]
    stays, _ = choose(EventFilters(k_core=k), batches, len(rows))
    left = set(range(len(pairs)))
    while True:
        users = [pairs[n][0] for n in left]
        items = [pairs[n][1] for n in left]
        smaller = {n for n in left if users.count(pairs[n][0]) >= k and items.count(pairs[n][1]) >= k}
        if smaller == left:
            break
        left = smaller
    assert set(np.flatnonzero(stays).tolist()) == left


def test_retractions_always_stay() -> None:
    rows = events(("u", "a", RETRACT, 1), ("u", "a", "view", 2))
    stays, _ = choose(EventFilters(k_core=5, bots_per_hour=1), [keys_of(rows)], 2)
    assert stays.tolist() == [True, False]
