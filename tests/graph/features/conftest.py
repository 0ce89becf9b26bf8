"""Shops of a few items, each described by one JSON object, without a store."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from graph.snapshot import Snapshot

Shop = Callable[..., Snapshot]


@pytest.fixture
def shop(make_snapshot: Callable[..., Snapshot]) -> Shop:
    """One user has had the first `active` of the items, one after the other, unless `users` says who had which."""

    def made(
        attributes: Sequence[Mapping[str, Any] | None],
        active: int | None = None,
        users: Sequence[Sequence[int]] | None = None,
    ) -> Snapshot:
        n_items = len(attributes)
        histories = users or [range(n_items if active is None else active)]
        rows = [(user, item, 0, 0, place) for user, items in enumerate(histories) for place, item in enumerate(items)]
        snapshot = make_snapshot(rows, n_users=len(histories), n_items=n_items)
        texts = pa.array([json.dumps(one) if one else "" for one in attributes], pa.string())
        return replace(snapshot, catalog=replace(snapshot.catalog, item_attributes=texts))

    return made
