"""Random stores: back-dated events, retractions, a catalog that changes, at times few enough to meet every border."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from graph.schema import RETRACT
from graph.storage.categories import delete_categories, upsert_categories
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import delete_items, upsert_items

Row = dict[str, Any]
Change = tuple[str, Row]
TIMES = st.integers(0, 9)  # microseconds after 1970: few, so that equal times and borders are met often
KINDS = ("view", "purchase", "dislike")
USERS, ITEM_IDS, CATEGORY_IDS = ("u0", "u1", "u2"), ("i0", "i1", "i2", "i3"), ("c0", "c1", "c2", "c3")

EVENT = st.fixed_dictionaries(
    {
        "user": st.sampled_from(USERS),
        "item": st.sampled_from(ITEM_IDS),
        "kind": st.sampled_from(KINDS),
        "value": st.sampled_from([None, 1.0, 2.5]),
        "session_key": st.sampled_from([None, "a", "b"]),
        "sequence": st.sampled_from([None, 0, 1]),
        "occurred_at": TIMES,
        "recorded_at": TIMES,
    }
)
RETRACTION = st.fixed_dictionaries({"of": st.integers(0, 3), "occurred_at": TIMES, "recorded_at": TIMES})
ITEM = st.fixed_dictionaries(
    {
        "item": st.sampled_from(ITEM_IDS),
        "name": st.sampled_from([None, "old", "new"]),
        "attributes": st.sampled_from([None, '{"price": 1}', '{"price": 2.5, "colour": "red"}', '{"price": "9"}']),
        "available": st.booleans(),
        "categories": st.lists(st.sampled_from(CATEGORY_IDS), max_size=2, unique=True),
        "valid_from": st.none() | TIMES,
    }
)
# Parents stand earlier in the alphabet, so no history of moves closes a cycle; cycles have tests of their own.
CATEGORY = st.sampled_from(CATEGORY_IDS).flatmap(
    lambda own: st.fixed_dictionaries(
        {
            "category": st.just(own),
            "name": st.sampled_from([None, "old", "new"]),
            "parent": st.sampled_from([None, *[other for other in CATEGORY_IDS if other < own]]),
            "valid_from": st.none() | TIMES,
        }
    )
)
CHANGE = (
    st.tuples(st.just("item"), ITEM)
    | st.tuples(st.just("category"), CATEGORY)
    | st.tuples(st.just("delete_item"), st.fixed_dictionaries({"item": st.sampled_from(ITEM_IDS)}))
    | st.tuples(st.just("delete_category"), st.fixed_dictionaries({"category": st.sampled_from(CATEGORY_IDS)}))
)


@dataclass(frozen=True)
class Load:
    """What is written to a store, in this order: catalog changes (with the time each is recorded), then events."""

    changes: list[tuple[int, Change]]
    events: list[Row]
    retractions: list[Row]


LOADS = st.builds(
    Load,
    st.lists(st.tuples(TIMES, CHANGE), min_size=2, max_size=8).map(lambda rows: sorted(rows, key=lambda row: row[0])),
    st.lists(EVENT, min_size=4, max_size=12),
    st.lists(RETRACTION, min_size=1, max_size=4),
)


@contextmanager
def fresh(template: Path) -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(template, Path(folder) / "store.db")
        database = Database(f"sqlite:///{folder}/store.db")
        yield database
        database.close()


def write(database: Database, load: Load, name: str, *, recorded_later: int = 0) -> None:
    """`name` makes event ids unique; `recorded_later` is added to every time at which something was recorded."""
    for recorded_at, (what, row) in load.changes:
        at = recorded_at + recorded_later
        if what == "item":
            upsert_items(database, table_of(ITEMS, [row]), recorded_at=at)
        elif what == "category":
            upsert_categories(database, table_of(CATEGORIES, [row]), recorded_at=at)
        elif what == "delete_item":
            delete_items(database, [row["item"]], recorded_at=at)
        else:
            delete_categories(database, [row["category"]], recorded_at=at)
    rows = [{**row, "event_id": f"{name}{number}"} for number, row in enumerate(load.events)]
    rows += [
        {
            **{key: value for key, value in row.items() if key != "of"},
            "event_id": f"{name}r{number}+{recorded_later}-{row['occurred_at']}",
            "kind": RETRACT,
            "retracts": f"{name}{row['of']}",
        }
        for number, row in enumerate(load.retractions)
    ]
    rows = [{**row, "recorded_at": row["recorded_at"] + recorded_later} for row in rows]
    if rows:
        # Loaded at 0, so that the rows of users and items are known whenever one of their events is.
        append_events(
            database, table_of(EVENTS, rows), source="test", unknown_items="create", recorded_at=recorded_later
        )
