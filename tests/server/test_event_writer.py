"""Batches that are written as one end as if they were written one after the other."""

import random
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import func, select

from graph.storage.columns import EVENTS, table_of
from graph.storage.database import Database
from graph.storage.errors import StoppingError, StoreUnavailableError
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.outcomes import Outcome, Outcomes
from graph.storage.tables import interaction, user
from server.event_writer import EventWriter, Written

NOW = 1_700_000_000_000_000


def writer_of(database: Database) -> EventWriter:
    return EventWriter(database, unknown_items="reject", clock_tolerance_us=0)


def batch(*rows: dict[str, Any]) -> pa.Table:
    defaults = {"user": "ann", "item": "tea", "kind": "view", "occurred_at": NOW}
    return table_of(EVENTS, [defaults | row for row in rows]).drop_columns("recorded_at")


def said(outcomes: Outcomes) -> list[tuple[Outcome, str]]:
    return [(outcomes[row], outcomes.reason(row)) for row in range(len(outcomes))]


def content(database: Database) -> list[tuple[Any, ...]]:
    columns = (interaction.c.event_id, user.c.external_id, interaction.c.retracts)
    with database.connect() as connection:
        query = select(*columns).join(user, user.c.id == interaction.c.user_id).order_by(interaction.c.event_id)
        return [tuple(row) for row in connection.execute(query)]


@pytest.mark.parametrize("seed", range(12))
def test_a_group_is_as_good_as_one_after_the_other(sqlite_database: Database, tmp_path: Path, seed: int) -> None:
    """Same ids in several batches, retractions before and after what they name, unknown items mended later."""
    upsert_items(sqlite_database, pa.table({"item": ["tea"]}))
    sqlite_database.close()  # folds the log into the file, which is copied
    shutil.copyfile(tmp_path / "penchant.db", tmp_path / "other.db")
    other = Database(f"sqlite:///{tmp_path / 'other.db'}")
    chance = random.Random(seed)

    def row() -> dict[str, Any]:
        name = f"e{chance.randrange(12)}"
        if chance.random() < 0.2:
            back = {"kind": "retract", "retracts": f"e{chance.randrange(12)}", "item": None}
            return {"event_id": f"r{chance.randrange(12)}", **back}
        return {"event_id": name, "user": chance.choice(["ann", "bob"]), "item": chance.choice(["tea", "tea", "mud"])}

    batches = [batch(*(row() for _ in range(chance.randint(1, 4)))) for _ in range(12)]
    writer = writer_of(sqlite_database)
    waiting = [writer.submit(each) for each in batches]  # before the thread starts, so that it finds them all
    writer.start()
    grouped = [done.result(60).outcomes for done in waiting]
    writer.stop()
    serial = [append_events(other, each, source="test", recorded_at=2 * NOW) for each in batches]
    assert [said(outcomes) for outcomes in grouped] == [said(outcomes) for outcomes in serial]
    assert content(sqlite_database) == content(other)
    other.close()


def test_what_waits_shares_a_transaction(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    upsert_items(database, pa.table({"item": ["tea"]}))
    sizes: list[int] = []
    original = append_events

    def counted(database: Database, events: pa.Table, **options: Any) -> Outcomes:
        sizes.append(len(events))
        return original(database, events, **options)

    monkeypatch.setattr("server.event_writer.append_events", counted)
    writer = writer_of(database)
    waiting = [writer.submit(batch({"event_id": f"{n}-a"}, {"event_id": f"{n}-b"})) for n in range(5)]
    large = batch(*({"event_id": f"large-{n}"} for n in range(7_999)))
    waiting.append(writer.submit(large))
    writer.start()
    writer.stop()
    assert sizes == [10, 7_999]
    assert [done.result(0).outcomes.counts() for done in waiting[:5]] == [{Outcome.ACCEPTED: 2}] * 5
    with database.connect() as connection:
        assert connection.execute(select(func.count()).select_from(interaction)).scalar() == 8_009


def test_a_bug_that_one_batch_meets_is_its_own(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    upsert_items(sqlite_database, pa.table({"item": ["tea"]}))
    original = append_events

    def fails_on_poison(database: Database, events: pa.Table, **options: Any) -> Outcomes:
        if "poison" in events["event_id"].to_pylist():
            raise ZeroDivisionError
        return original(database, events, **options)

    monkeypatch.setattr("server.event_writer.append_events", fails_on_poison)
    writer = writer_of(sqlite_database)
    waiting = [writer.submit(batch({"event_id": name})) for name in ("one", "poison", "two")]
    writer.start()
    assert [done.result(60).outcomes[0] for done in (waiting[0], waiting[2])] == [Outcome.ACCEPTED] * 2
    with pytest.raises(ZeroDivisionError):
        waiting[1].result(60)
    writer.stop()


def test_a_store_that_is_away_is_told_to_all_that_wait(tmp_path: Path) -> None:
    (tmp_path / "penchant.db").write_text("no database at all, and long enough to be read as one" * 100)
    writer = writer_of(Database(f"sqlite:///{tmp_path / 'penchant.db'}"))
    waiting: list[Future[Written]] = [writer.submit(batch({"event_id": name})) for name in ("one", "two")]
    writer.start()
    for done in waiting:
        with pytest.raises(StoreUnavailableError):
            done.result(60)
    writer.stop()


def test_nothing_is_taken_after_the_end(sqlite_database: Database) -> None:
    writer = writer_of(sqlite_database)
    writer.start()
    writer.stop()
    writer.stop()
    with pytest.raises(StoppingError):
        writer.submit(batch({"event_id": "late"}))
