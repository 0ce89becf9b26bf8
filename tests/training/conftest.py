"""A small shop with planted groups of users, and a model trained on it once."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import torch

from graph.catalog import CatalogLog, CategoryVersions, ItemVersions
from graph.events import EventLog, Events
from graph.ids import IdMap
from graph.snapshot import Snapshot, snapshot_at
from graph.storage.categories import upsert_categories
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US, EVER_US, NEVER_US
from training.evaluation.protocols import Split, time_split
from training.train import Learned, config_for, learn

torch.set_num_threads(1)  # sums depend on it in their last bits, and what a session learns once is compared with later
GROUPS, USERS, ITEMS, DAYS = 4, 120, 80, 120
"""User u belongs to group u % GROUPS, item i and category i + 1 likewise; category 0 is their root."""


@pytest.fixture(scope="session")
def shop() -> Snapshot:
    """Users buy one item every few days, nine times of ten from their group, every other time one they had before.

    The last user has no event.
    """
    random = np.random.default_rng(7)
    rows: list[tuple[int, int, int]] = []
    for user in range(USERS - 1):
        own: list[int] = []
        for day in np.sort(random.choice(DAYS, size=random.integers(15, 40), replace=False)):
            if own and random.random() < 0.5:
                item = own[random.integers(len(own))]
            elif random.random() < 0.9:
                item = int(random.integers(ITEMS // GROUPS) * GROUPS + user % GROUPS)
            else:
                item = int(random.integers(ITEMS))
            own.append(item)
            rows.append((user, int(day), item))
    user, day, item = np.array(rows).T
    n = len(rows)
    events = Events(
        user=user.astype(np.int32),
        item=item.astype(np.int32),
        kind=np.zeros(n, np.int16),
        value=np.full(n, np.nan, np.float32),
        occurred_at=day * DAY_US,
        sequence=np.full(n, -1),
        session=np.full(n, -1),
        id=np.arange(n),
    )
    categories = GROUPS + 1
    items = ItemVersions(
        item=np.arange(ITEMS, dtype=np.int32),
        valid_from=np.full(ITEMS, EVER_US),
        name=pa.array([f"item {i}" for i in range(ITEMS)]),
        attributes=pa.array([f'{{"price":{i % 7}}}' if i % 5 else "" for i in range(ITEMS)]),
        available=np.ones(ITEMS, np.bool_),
        deleted=np.zeros(ITEMS, np.bool_),
        category_offsets=np.arange(ITEMS + 1),
        category=(np.arange(ITEMS) % GROUPS + 1).astype(np.int32),
    )
    tree = CategoryVersions(
        category=np.arange(categories, dtype=np.int32),
        valid_from=np.full(categories, EVER_US),
        name=pa.array(["All", *(f"Group {g}" for g in range(GROUPS))]),
        parent=np.array([-1] + [0] * GROUPS, np.int32),
        deleted=np.zeros(categories, np.bool_),
    )
    return snapshot_at(
        DAYS * DAY_US,
        DAYS * DAY_US,
        IdMap.of([f"u{u}" for u in range(USERS)]),
        # gaps between surrogates, as in a store whose rows came in turns
        IdMap(pa.array([f"i{i}" for i in range(ITEMS)]), np.arange(ITEMS) * 2 + 1),
        IdMap.of([f"c{c}" for c in range(categories)]),
        (EventKind(1, "purchase", 1.0, 1, None),),
        EventLog(events, np.full(n, NEVER_US)),
        CatalogLog(ITEMS, categories, items, tree),
    )


@pytest.fixture(scope="session")
def split(shop: Snapshot) -> Split:
    return time_split(shop, test_start=100 * DAY_US)


@pytest.fixture(scope="session")
def learned(split: Split) -> Learned:
    config = config_for(split.trained, {"dim": 16, "epochs": 8, "max_history": 20})
    return learn(split.trained, split.validation, config, vector_space="m1", device="cpu")


@pytest.fixture(scope="session")
def fill_store() -> Callable[[Database, Snapshot], None]:
    return fill


def fill(database: Database, shop: Snapshot) -> None:
    """The planted shop as a caller would send it."""
    names, parents = shop.category_names.to_pylist(), shop.category_parent.tolist()
    categories = {
        "category": shop.categories.external,
        "name": pa.array(names),
        "parent": pa.array([None if p < 0 else f"c{p}" for p in parents]),
    }
    upsert_categories(database, pa.table(categories))
    links = [[f"c{c}"] for c in shop.item_category[1].tolist()]
    upsert_items(database, pa.table({"item": shop.items.external, "name": shop.item_names, "categories": links}))
    events = shop.events
    columns = {
        "user": [f"u{u}" for u in events.user.tolist()],
        "item": [f"i{i}" for i in events.item.tolist()],
        "kind": ["purchase"] * len(events),
        "occurred_at": events.occurred_at,
    }
    append_events(database, pa.table(columns), source="test")
