"""Several writers at once: nobody waits in vain, nothing is lost, nothing is doubled."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import func, select

from graph.storage.categories import upsert_categories
from graph.storage.check import check
from graph.storage.columns import CATEGORIES, EVENTS, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.tables import interaction

WRITERS, BATCHES = 4, 6
NOW = 1_700_000_000_000_000


def write(database: Database, writer: int) -> list[Outcomes]:
    """All writers know the same users and items in different orders, and send half of their events all alike."""
    outcomes = []
    for batch in range(BATCHES):
        rows = [
            {"event_id": f"{writer if row % 2 else 'all'}-{batch}-{row}", "user": f"u{batch}-{row % 7}",
             "item": f"i{batch}-{row % 5}", "kind": "view", "occurred_at": NOW + row}
            for row in range(40)
        ]  # fmt: skip
        rows = rows[writer:] + rows[:writer] if writer % 2 else rows[::-1]
        outcomes.append(append_events(database, table_of(EVENTS, rows), source="test", unknown_items="create"))
        items = [{"item": f"i{batch}-{row}", "name": f"by {writer}"} for row in range(5)]
        upsert_items(database, table_of(ITEMS, items))
        upsert_categories(database, table_of(CATEGORIES, [{"category": f"c{batch}", "name": str(writer)}]))
    return outcomes


def test_threads_write_at_once(database: Database) -> None:
    with ThreadPoolExecutor(WRITERS) as pool:
        written = list(pool.map(lambda writer: write(database, writer), range(WRITERS)))
    accepted = sum(outcomes.count(Outcome.ACCEPTED) for several in written for outcomes in several)
    duplicates = sum(outcomes.count(Outcome.DUPLICATE) for several in written for outcomes in several)
    assert accepted == BATCHES * (20 * WRITERS + 20)
    assert accepted + duplicates == BATCHES * 40 * WRITERS
    with database.connect() as connection:
        assert connection.execute(select(func.count()).select_from(interaction)).scalar() == accepted
    assert check(database) == []


def test_processes_write_at_once(database_url: str, database: Database) -> None:
    source = "import sys; from graph.storage.database import Database; import test_writers; "
    source += "test_writers.write(Database(sys.argv[1]), int(sys.argv[2]))"
    here, root = Path(__file__).parent, Path(__file__).parents[3]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", source, database_url, str(writer)], env={"PYTHONPATH": f"{here}:{root}"}
        )
        for writer in range(WRITERS - 1)
    ]
    assert [process.wait() for process in processes] == [0] * len(processes)
    with database.connect() as connection:
        stored = connection.execute(select(func.count()).select_from(interaction)).scalar()
    assert stored == BATCHES * (20 * (WRITERS - 1) + 20)
    assert check(database) == []
