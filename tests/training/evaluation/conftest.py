"""Tiny snapshots without a store."""

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from graph.catalog import CatalogLog, CategoryVersions, ItemVersions
from graph.events import EventLog, Events
from graph.ids import IdMap
from graph.snapshot import Snapshot, snapshot_at
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US, EVER_US, NEVER_US

Row = tuple[int, int, float]
"""user, item, day; the place in the list is the order of arrival."""
MakeSnapshot = Callable[..., Snapshot]


@pytest.fixture
def make_snapshot() -> MakeSnapshot:
    def make(
        rows: Sequence[Row],
        *,
        n_items: int,
        as_of_day: float = 100,
        sequence: Sequence[int] | None = None,
        kinds: Sequence[int] | None = None,
        born: dict[int, float] | None = None,
    ) -> Snapshot:
        """`kinds`: 0 a purchase, 1 a dislike. `born`: days from which items exist, others exist from ever."""
        n = len(rows)
        user, item, day = np.array(rows, dtype=np.float64).reshape(n, 3).T
        within = np.full(n, -1, np.int64) if sequence is None else np.array(sequence, np.int64)
        order = np.lexsort((item, within, day, user))
        events = Events(
            user=user[order].astype(np.int32),
            item=item[order].astype(np.int32),
            kind=np.array(kinds or [0] * n, np.int16)[order],
            value=np.full(n, np.nan, np.float32),
            occurred_at=(day[order] * DAY_US).astype(np.int64),
            sequence=within[order],
            session=np.full(n, -1, np.int64),
            id=order.astype(np.int64),
        )
        valid_from = np.full(n_items, EVER_US, np.int64)
        for index, since in (born or {}).items():
            valid_from[index] = round(since * DAY_US)
        items = ItemVersions(
            item=np.arange(n_items, dtype=np.int32),
            valid_from=valid_from,
            name=pa.array([f"item {index}" for index in range(n_items)], pa.string()),
            attributes=pa.array([""] * n_items, pa.string()),
            available=np.ones(n_items, np.bool_),
            deleted=np.zeros(n_items, np.bool_),
            category_offsets=np.zeros(n_items + 1, np.int64),
            category=np.zeros(0, np.int32),
        )
        no_categories = CategoryVersions(
            category=np.zeros(0, np.int32),
            valid_from=np.zeros(0, np.int64),
            name=pa.array([], pa.string()),
            parent=np.zeros(0, np.int32),
            deleted=np.zeros(0, np.bool_),
        )
        return snapshot_at(
            round(as_of_day * DAY_US),
            NEVER_US,
            IdMap.of(f"u{index}" for index in range(int(user.max()) + 1)),
            IdMap.of(f"i{index}" for index in range(n_items)),
            IdMap.of([]),
            (EventKind(1, "purchase", 1.0, 1, None), EventKind(2, "dislike", 1.0, -1, None)),
            EventLog(events, np.full(n, NEVER_US, np.int64)),
            CatalogLog(n_items, 0, items, no_categories),
        )

    return make
