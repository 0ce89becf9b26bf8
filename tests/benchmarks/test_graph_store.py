"""The shop whose graph is measured: a day of it is a day of a live shop, and the kept graph takes it in."""

from pathlib import Path

import numpy as np

from benchmarks.graph_store import BEGIN_US, LOADED_US, Shop, add_day, fill
from graph.snapshot import take_snapshot
from graph.state.current import current_graph
from graph.storage.database import Database
from graph.storage.times import DAY_US


def test_a_day_brings_new_users_and_items_with_events_of_their_own(sqlite_database: Database, tmp_path: Path) -> None:
    shop = Shop(40_000)
    fill(sqlite_database, shop)
    before = current_graph(sqlite_database, tmp_path).snapshot
    assert (len(before.users), len(before.items)) == (shop.users, shop.items)
    assert before.events.occurred_at.min() >= BEGIN_US - 30 * DAY_US
    add_day(sqlite_database, shop, 0.25)
    said: list[str] = []
    day = current_graph(sqlite_database, tmp_path, say=said.append)
    assert (said, day.new_rows) == ([], 10_000)
    assert day.snapshot.content_hash == take_snapshot(sqlite_database, as_of=None).content_hash
    assert (len(day.snapshot.users), len(day.snapshot.items)) == (shop.users + 4, shop.items + 1)
    assert day.snapshot.item_exists.all()
    assert np.isin(np.arange(shop.items, shop.items + 1), day.snapshot.item_category[0]).all()
    shown = day.snapshot.events
    assert len(np.unique(shown.user[shown.user >= shop.users])) > 1
    assert (shown.item >= shop.items).any()
    assert (shown.occurred_at < LOADED_US).sum() > len(before.events)  # some of the day are back-dated
