"""Snapshots made of a few lists, for tests that need no store."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from graph.catalog import CatalogLog, CategoryVersions, ItemVersions
from graph.events import EventLog, Events
from graph.ids import IdMap
from graph.snapshot import Snapshot, snapshot_at
from graph.storage.kinds import EventKind
from graph.storage.times import EVER_US, NEVER_US

KINDS = (
    EventKind(1, "view", 0.5, 1, 10.0),
    EventKind(2, "purchase", 1.0, 1, None),
    EventKind(3, "dislike", 1.0, -1, None),
    EventKind(4, "shown", 0.0, 0, None),
)

Row = tuple[int, int, int, int, int]  # user, item, kind, day, sequence
MakeSnapshot = Callable[..., Snapshot]
DAY_US = 86_400_000_000


@pytest.fixture
def make_snapshot() -> MakeSnapshot:
    def make(
        rows: Sequence[Row],
        *,
        n_users: int = 3,
        n_items: int = 6,
        parents: Sequence[int] = (),
        item_category: Sequence[tuple[int, int]] = (),
        as_of_day: int = 100,
        kinds: tuple[EventKind, ...] = KINDS,
    ) -> Snapshot:
        user, item, kind, day, sequence = np.array(rows, np.int64).reshape(-1, 5).T
        order = np.lexsort((item, sequence, day, user))
        events = Events(
            user=user[order].astype(np.int32),
            item=item[order].astype(np.int32),
            kind=kind[order].astype(np.int16),
            value=np.full(len(rows), np.nan, np.float32),
            occurred_at=day[order] * DAY_US,
            sequence=sequence[order],
            session=np.full(len(rows), -1, np.int64),
            id=order.astype(np.int64),
        )
        links = np.array(sorted(item_category), np.int32).reshape(-1, 2)
        items = ItemVersions(
            item=np.arange(n_items, dtype=np.int32),
            valid_from=np.full(n_items, EVER_US, np.int64),
            name=pa.array([f"item {index}" for index in range(n_items)], pa.string()),
            attributes=pa.array([""] * n_items, pa.string()),
            available=np.ones(n_items, np.bool_),
            deleted=np.zeros(n_items, np.bool_),
            category_offsets=np.searchsorted(links[:, 0], np.arange(n_items + 1)),
            category=links[:, 1],
        )
        categories = CategoryVersions(
            category=np.arange(len(parents), dtype=np.int32),
            valid_from=np.full(len(parents), EVER_US, np.int64),
            name=pa.array([f"category {index}" for index in range(len(parents))], pa.string()),
            parent=np.array(parents, np.int32),
            deleted=np.zeros(len(parents), np.bool_),
        )
        return snapshot_at(
            as_of_day * DAY_US,
            NEVER_US,
            IdMap.of(f"u{index}" for index in range(n_users)),
            IdMap.of(f"i{index}" for index in range(n_items)),
            IdMap.of(f"c{index}" for index in range(len(parents))),
            kinds,
            EventLog(events, np.full(len(rows), NEVER_US, np.int64)),
            CatalogLog(n_items, len(parents), items, categories),
        )

    return make
