"""`penchant graph diff` on a store that learned, forgot and renamed, on both engines."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from graph.cli import graph_app
from graph.diff.moments import parse_moment
from graph.snapshot import take_snapshot
from graph.storage import registry
from graph.storage.categories import delete_categories, upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.events import append_events
from graph.storage.items import delete_items, upsert_items
from graph.storage.kinds import EventKind, upsert_kinds

DAY_US = 86_400_000_000
Row = dict[str, Any]


def day(number: float) -> int:
    return int(number * DAY_US)


def event(number: int, user: str, item: str | None, kind: str, at: int, **more: Any) -> Row:
    return {"event_id": str(number), "user": user, "item": item, "kind": kind, "occurred_at": at, **more}


@pytest.fixture
def shop(database: Database) -> Database:
    """Until day 10 one shop; then new events, a late one, one withdrawn, and a catalog turned over."""
    categories: list[Row] = [
        {"category": "food", "name": "Food"},
        {"category": "fruit", "name": "Fruit", "parent": "food"},
        {"category": "apples", "name": "Apples", "parent": "fruit"},
        {"category": "attic", "name": "Attic"},
    ]
    upsert_categories(database, table_of(CATEGORIES, categories), recorded_at=day(1))
    items: list[Row] = [
        {"item": "apple", "name": "Apple", "categories": ["apples"]},
        {"item": "pear", "name": "Pear", "categories": ["fruit"]},
        {"item": "sold out", "name": "Fig", "categories": ["fruit"]},
        {"item": "old", "name": "Old", "categories": []},
    ]
    upsert_items(database, table_of(ITEMS, items), recorded_at=day(1))
    first = [
        event(1, "ann", "apple", "purchase", day(2)),
        event(2, "ann", "pear", "purchase", day(3)),
        event(3, "bob", "pear", "view", day(4)),
    ]
    append_events(database, table_of(EVENTS, first), source="s", recorded_at=day(5))

    later: list[Row] = [
        {"category": "fruit", "name": "Fruit & nuts", "parent": None, "valid_from": day(11)},
        {"category": "nuts", "name": "Nuts", "parent": "fruit", "valid_from": day(11)},
    ]
    upsert_categories(database, table_of(CATEGORIES, later), recorded_at=day(11))
    delete_categories(database, ["attic"], recorded_at=day(11))
    changed: list[Row] = [
        {"item": "apple", "name": "Red apple", "categories": ["apples", "food"], "valid_from": day(11)},
        {"item": "sold out", "name": "Fig", "categories": ["fruit"], "available": False, "valid_from": day(11)},
        {"item": "nut", "name": "Nut", "categories": ["nuts"], "valid_from": day(11)},
    ]
    upsert_items(database, table_of(ITEMS, changed), recorded_at=day(11))
    delete_items(database, ["old"], recorded_at=day(11))
    second = [
        event(4, "cat", "apple", "purchase", day(12)),
        event(5, "ann", "apple", "purchase", day(12.5)),
        event(6, "bob", "apple", "view", day(6)),  # late
        event(7, "bob", None, "retract", day(13), retracts="3"),
    ]
    append_events(database, table_of(EVENTS, second), source="s", recorded_at=day(14))
    return database


def run(url: str, *arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(graph_app, ["diff", *arguments, "--database", url], env={"COLUMNS": "160"})
    return result.exit_code, result.stdout if result.exit_code == 0 else result.output


def said(url: str, *arguments: str) -> Any:
    code, output = run(url, *arguments, "--json")
    assert code == 0, output
    return json.loads(output)


EARLY, LATE = "1970-01-11@1970-01-11", "1970-01-16@1970-01-16"


def test_all_that_changed_is_said(shop: Database, database_url: str) -> None:
    diff = said(database_url, EARLY, LATE)
    assert not diff["is_same"]
    hashes = [take_snapshot(shop, as_of=day(d), known_at=day(d)).content_hash for d in (10, 15)]
    assert [diff[side]["content_hash"] for side in ("before", "after")] == hashes
    assert diff["before"]["as_of_us"] == diff["before"]["known_at_us"] == day(10)
    nodes = {node.pop("nodes"): tuple(node.values()) for node in diff["nodes"]}
    assert nodes == {"users with events": (2, 3, 1, 0), "items": (4, 4, 1, 1), "categories": (4, 4, 1, 1)}
    events = {kind.pop("kind"): tuple(kind.values()) for kind in diff["events"]}
    # before, after, added, of them late, withdrawn, unseen
    assert events == {"view": (1, 1, 1, 1, 1, 0), "purchase": (2, 4, 2, 0, 0, 0)}
    catalog = {
        (change["of"], change["change"]): [(e["id"], e["before"], e["after"]) for e in change["examples"]]
        for change in diff["catalog"]
    }
    assert catalog == {
        ("items", "appeared"): [("nut", None, None)],
        ("items", "gone"): [("old", None, None)],
        ("items", "renamed"): [("apple", "Apple", "Red apple")],
        ("items", "moved"): [("apple", "apples", "apples | food")],
        ("items", "unavailable"): [("sold out", None, None)],
        ("categories", "appeared"): [("nuts", None, None)],
        ("categories", "gone"): [("attic", None, None)],
        ("categories", "renamed"): [("fruit", "Fruit", "Fruit & nuts")],
        ("categories", "moved"): [("fruit", "food", "(top)")],
    }
    edges = {edge["relation"]: edge for edge in diff["edges"]}
    assert [edges["purchase"][name] for name in ("before", "after", "added", "gone", "reweighted")] == [2, 3, 1, 0, 1]
    assert [(e["source"]["id"], e["target"]["name"]) for e in edges["purchase"]["most"]] == [
        ("ann", "Red apple"), ("cat", "Red apple"),
    ]  # fmt: skip
    assert [edges["view"][name] for name in ("added", "gone")] == [1, 1]
    assert [edges["child_of"][name] for name in ("before", "after", "added", "gone")] == [2, 2, 1, 1]


def test_what_items_are_described_by_is_compared_attribute_by_attribute(
    sqlite_database: Database, sqlite_url: str
) -> None:
    texts = [
        ('{"price": 1, "size": 4}', '{"price": 2, "size": 4, "organic": true}'),
        ('{"flag": 1}', '{"flag": true}'),  # equal to Python, not to the hash
        (None, '{"price": 3}'),
        ('{"price": 3}', '{"price": 3}'),
    ]
    for side, at in enumerate((day(1), day(11))):
        rows: list[Row] = [
            {"item": f"i{n}", "name": f"I{n}", "attributes": pair[side], "valid_from": at}
            for n, pair in enumerate(texts)
        ]
        upsert_items(sqlite_database, table_of(ITEMS, rows), recorded_at=at)
    diff = said(sqlite_url, EARLY, LATE)
    assert not diff["is_same"]
    (change,) = diff["catalog"]
    assert (change["of"], change["change"], change["count"]) == ("items", "with other attributes", 3)
    assert [(e["id"], e["before"], e["after"]) for e in change["examples"]] == [
        ("i0", '{"price":1}', '{"organic":true,"price":2}'),
        ("i1", '{"flag":1}', '{"flag":true}'),
        ("i2", "{}", '{"price":3}'),
    ]
    assert 'i0 I0: {"price":1} → {"organic":true,"price":2}' in run(sqlite_url, EARLY, LATE)[1]


def test_the_other_way_round_what_was_added_is_not_there_yet(shop: Database, database_url: str) -> None:
    diff = said(database_url, LATE, EARLY)
    events = {kind["kind"]: (kind["added"], kind["withdrawn"], kind["unseen"]) for kind in diff["events"]}
    assert events == {"view": (1, 0, 1), "purchase": (0, 0, 2)}
    assert ("items", "available again") in {(change["of"], change["change"]) for change in diff["catalog"]}


def test_one_time_known_at_two_shows_what_was_learned_since(shop: Database, database_url: str) -> None:
    diff = said(database_url, "1970-01-11@1970-01-11", "1970-01-11")
    events = {kind["kind"]: (kind["added"], kind["late"], kind["withdrawn"]) for kind in diff["events"]}
    assert events == {"view": (1, 1, 0), "purchase": (0, 0, 0)}
    assert diff["catalog"] == []


def test_tables_name_what_changed(shop: Database, database_url: str) -> None:
    code, output = run(database_url, EARLY, LATE, "--top", "1")
    assert code == 0
    for expected in (
        "A 1970-01-11@1970-01-11: as of 1970-01-11T00:00:00Z",
        "fruit Fruit & nuts: food → (top)",
        "apple Red apple: apples → apples | food",
        "Edges whose weight changed most",
        "users with events",
    ):
        assert expected in output
    assert "not yet there" not in output
    assert "not yet there" in run(database_url, LATE, EARLY, "--no-edges")[1]
    without = run(database_url, EARLY, LATE, "--no-edges")[1]
    assert "Catalog" in without
    assert "Edges" not in without
    same = run(database_url, "now", "now")[1]
    assert "Both hold the same." in same
    assert "Nodes" not in same


def test_revisions_are_compared_by_what_they_were_made_from(shop: Database, database_url: str) -> None:
    model = registry.create_model(shop, config={})
    for number in (10, 15):
        made_from = take_snapshot(shop, as_of=day(number), known_at=day(number))
        registry.add_revision(
            shop,
            model,
            path=f"m{number}",
            as_of=made_from.as_of,
            known_at=made_from.known_at,
            snapshot_hash=made_from.content_hash,
            metrics={},
        )
    by_version, by_time = said(database_url, "m1.1", "m1.2"), said(database_url, EARLY, LATE)
    for side in ("before", "after"):
        assert by_version[side]["recorded_hash"] == by_version[side]["content_hash"] == by_time[side]["content_hash"]
    assert [by_version[part] for part in ("nodes", "events", "catalog", "edges")] == [
        by_time[part] for part in ("nodes", "events", "catalog", "edges")
    ]
    assert "no longer gives" not in run(database_url, "m1.1", "m1.2")[1]
    upsert_kinds(shop, [EventKind(0, "view", 0.75, 1, None)])
    assert "no longer gives" in run(database_url, "m1.1", "m1.2", "--no-edges")[1]
    with pytest.raises(NotFoundError):
        parse_moment("m1.3", shop)


def test_a_revision_of_an_older_version_is_no_sign_of_other_data(sqlite_database: Database, sqlite_url: str) -> None:
    model = registry.create_model(sqlite_database, config={})
    facts: dict[str, Any] = {"path": "m1.1", "as_of": 0, "known_at": 0, "metrics": {}}
    registry.add_revision(sqlite_database, model, snapshot_hash="0" * 32, **facts)  # as 0.1.0 wrote it
    output = run(sqlite_url, "m1.1", "now")[1]
    assert "m1.1 was made by an older version of penchant" in output
    assert "no longer gives" not in output


@pytest.mark.parametrize("text", ["yesterday", "1970-01-01@", "m1", "@", ""])
def test_what_is_no_moment_is_refused_or_means_now(sqlite_database: Database, text: str) -> None:
    if text == "1970-01-01@":
        assert parse_moment(text, sqlite_database).known_at is None
        return
    with pytest.raises(BadInputError, match="is no moment of the store"):
        parse_moment(text, sqlite_database)


def test_an_empty_store_can_be_compared(sqlite_database: Database, sqlite_url: str) -> None:
    diff = said(sqlite_url, "2026-01-01", "now")
    assert diff["is_same"]
    assert diff["events"] == diff["catalog"] == diff["edges"] == []
