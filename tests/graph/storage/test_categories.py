from typing import Any

import networkx as nx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.snapshot import take_snapshot
from graph.storage.categories import (
    _without_cycles,
    delete_categories,
    get_categories,
    list_categories,
    upsert_categories,
)
from graph.storage.columns import CATEGORIES, ITEMS, table_of
from graph.storage.cycles import cycles_over_time
from graph.storage.database import Database
from graph.storage.items import delete_items, upsert_items
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.times import EVER_US
from graph.taxonomy import Taxonomy

NOW = 1_700_000_000_000_000


def upsert(database: Database, *rows: dict[str, Any] | tuple[str, str | None], at: int = NOW) -> Outcomes:
    dicts = [row if isinstance(row, dict) else {"category": row[0], "parent": row[1]} for row in rows]
    return upsert_categories(database, table_of(CATEGORIES, dicts), recorded_at=at)


def said(outcomes: Outcomes) -> list[str]:
    return [str(outcomes[row]) for row in range(len(outcomes))]


def parents(database: Database) -> dict[str, str | None]:
    return {found.category: found.parent for found in list_categories(database)}


def on_cycles(tree: dict[str, str | None]) -> set[str]:
    """By another's definition."""
    edges = nx.DiGraph([(child, parent) for child, parent in tree.items() if parent is not None])
    return {node for cycle in nx.simple_cycles(edges) for node in cycle}


def test_children_may_stand_before_their_parents(database: Database) -> None:
    assert said(upsert(database, ("tea", "hot"), ("hot", "drinks"), ("drinks", None))) == ["accepted"] * 3
    assert parents(database) == {"drinks": None, "hot": "drinks", "tea": "hot"}
    assert said(upsert(database, ("tea", "hot"), ("hot", "drinks"), at=NOW + 1)) == ["unchanged"] * 2
    assert get_categories(database, ["tea", "?"])["tea"].valid_from == EVER_US


def test_an_unknown_parent_is_refused_with_all_that_hangs_below(database: Database) -> None:
    outcomes = upsert(database, ("a", None), ("b", "nowhere"), ("c", "b"))
    assert said(outcomes) == ["accepted", "unknown_category", "unknown_category"]
    assert outcomes.reason(1) == "unknown parent category nowhere"
    assert parents(database) == {"a": None}


def test_a_cycle_is_refused_by_name(database: Database) -> None:
    outcomes = upsert(database, ("a", "b"), ("b", "c"), ("c", "a"), ("self", "self"), ("below", "a"), ("root", None))
    assert said(outcomes) == ["cycle"] * 4 + ["unknown_category", "accepted"]
    assert outcomes.reason(0) == "categories would form a cycle: a > b > c > a"
    assert outcomes.reason(3) == "categories would form a cycle: self > self"


def test_a_cycle_with_what_is_stored_is_refused(database: Database) -> None:
    upsert(database, ("a", None), ("b", "a"), ("c", "b"))
    outcomes = upsert(database, ("a", "c"), ("c", "a"), at=NOW + 1)
    assert "cycle" in said(outcomes)
    assert not on_cycles(parents(database))


def test_a_cycle_in_the_past_is_refused_too(database: Database) -> None:
    upsert(
        database, {"category": "a", "valid_from": NOW - 10}, {"category": "b", "parent": "a", "valid_from": NOW - 10}
    )
    upsert(database, {"category": "b", "parent": None, "valid_from": NOW - 5}, at=NOW + 1)
    outcomes = upsert(database, {"category": "a", "parent": "b", "valid_from": NOW - 8}, at=NOW + 2)
    assert said(outcomes) == ["cycle"]
    assert said(upsert(database, {"category": "a", "parent": "b", "valid_from": NOW - 4}, at=NOW + 3)) == ["accepted"]


def test_a_cycle_through_what_is_stored_for_later_is_refused(database: Database) -> None:
    upsert(database, ("a", None), ("b", "a"), ("c", None))
    later = {"category": "a", "parent": "c", "valid_from": NOW + 200}
    assert said(upsert(database, later, at=NOW + 200)) == ["accepted"]
    early = {"category": "c", "parent": "b", "valid_from": NOW + 100}
    outcomes = upsert(database, early, at=NOW + 300)  # c > b > a until a hangs below c
    assert said(outcomes) == ["cycle"]
    assert outcomes.reason(0) == "categories would form a cycle: a > c > b > a"
    for as_of in (NOW + 100, NOW + 200, NOW + 300):
        Taxonomy.of(take_snapshot(database, as_of=as_of, known_at=NOW + 400))
    # Once a hangs elsewhere by then, it may be said.
    mended = {"category": "a", "parent": None, "valid_from": NOW + 200}
    assert said(upsert(database, mended, early, at=NOW + 301)) == ["accepted"] * 2
    assert parents(database) == {"a": None, "b": "a", "c": "b"}


def test_what_is_deleted_closes_no_cycle(database: Database) -> None:
    upsert(database, ("a", None), ("b", "a"))
    delete_categories(database, ["b"], recorded_at=NOW + 10)
    again = [{"category": "b", "valid_from": NOW + 20}, {"category": "a", "parent": "b", "valid_from": NOW + 20}]
    assert said(upsert(database, *again, at=NOW + 20)) == ["accepted"] * 2
    assert parents(database) == {"a": "b", "b": None}


def test_moving_takes_the_subtree_along(database: Database) -> None:
    upsert(database, ("a", None), ("b", None), ("c", "a"), ("d", "c"))
    assert said(upsert(database, ("c", "b"), at=NOW + 1)) == ["accepted"]
    assert parents(database) == {"a": None, "b": None, "c": "b", "d": "c"}


def test_only_what_nothing_hangs_below_can_be_deleted(database: Database) -> None:
    upsert(database, ("a", None), ("b", "a"), ("c", "a"), ("d", "c"))
    upsert_items(database, table_of(ITEMS, [{"item": "tea", "categories": ["b"]}]))
    outcomes = delete_categories(database, ["a", "b", "c", "d", "?", "d"], recorded_at=NOW + 1)
    assert said(outcomes) == ["in_use", "in_use", "accepted", "accepted", "unknown_category", "unchanged"]
    assert outcomes.reason(0) == "category b hangs below a"
    assert outcomes.reason(1) == "1 items are in category b"
    assert parents(database) == {"a": None, "b": "a"}
    delete_items(database, ["tea"])
    assert said(delete_categories(database, ["a", "b"])) == ["accepted"] * 2
    # Gone for items and as parents, until it comes back.
    assert said(upsert_items(database, table_of(ITEMS, [{"item": "tea", "categories": ["b"]}]))) == ["unknown_category"]
    assert said(upsert(database, ("x", "b"), at=NOW + 2)) == ["unknown_category"]
    assert said(upsert(database, ("b", None), ("x", "b"), at=NOW + 10**12)) == ["accepted"] * 2


@pytest.mark.parametrize(
    "bad", [{"category": " "}, {"category": None}, {"parent": ""}, {"name": "\0"}, {"valid_from": -1}]
)
def test_a_bad_row_is_refused_alone(database: Database, bad: dict[str, Any]) -> None:
    outcomes = upsert(database, {"category": "a"} | bad, ("b", None))
    assert said(outcomes)[0].startswith("bad_")
    assert said(outcomes)[1] == "accepted"


version = st.fixed_dictionaries(
    {
        "category": st.sampled_from("abcd"),
        "parent": st.none() | st.sampled_from("abcd"),
        "valid_from": st.integers(0, 4),
    }
)


@given(st.lists(version, max_size=12))
def test_a_row_is_refused_just_where_it_would_close_a_cycle_at_some_time(rows: list[dict[str, Any]]) -> None:
    schema = {"category": pl.String, "parent": pl.String, "valid_from": pl.Int64}
    stored: list[dict[str, Any]] = []

    def has_cycle(versions: list[dict[str, Any]]) -> bool:
        return any(
            bool(on_cycles({v["category"]: v["parent"] for v in sorted(versions, key=when) if when(v) <= time}))
            for time in range(5)
        )

    def when(row: dict[str, Any]) -> int:
        return int(row["valid_from"])

    for row in rows:
        known = pl.DataFrame(stored, schema=schema).with_row_index("id").with_columns(deleted=pl.lit(value=False))
        frame = pl.DataFrame([row], schema=schema).with_row_index("row").with_columns(deleted=pl.lit(value=False))
        outcomes = Outcomes(1)
        kept = _without_cycles(frame, known, outcomes)
        assert (outcomes[0] == Outcome.CYCLE) == has_cycle([*stored, row]) == (len(kept) == 0)
        stored += [row] if len(kept) else []


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.none() | st.sampled_from("abcdefgh"), max_size=8))
def test_cycles_are_found_exactly(tree: dict[str, str | None]) -> None:
    versions = pl.DataFrame(
        {"category": list(tree), "parent": list(tree.values())}, schema={"category": pl.String, "parent": pl.String}
    ).with_columns(deleted=pl.lit(value=False), valid_from=pl.lit(0, pl.Int64))
    found = list(cycles_over_time(versions))
    members = [node for cycle, _ in found for node in cycle]
    assert set(members) == on_cycles(tree)
    assert len(members) == len(set(members))
    for cycle, places in found:
        assert [tree[node] for node in cycle] == cycle[1:] + cycle[:1]
        assert versions["category"].gather(places).to_list() == cycle
