from collections.abc import Callable

import pytest
from sqlalchemy import insert

from graph.storage.changes import Follower, Tidings, append_change, names, newest_change
from graph.storage.database import Database
from graph.storage.tables import change


def say(database: Database, number: int) -> None:
    with database.begin() as connection:
        append_change(connection, "events", {"number": number})


def heard(follower: Follower) -> list[int]:
    return [change.detail["number"] for change in follower.poll()]


def test_each_change_once_from_when_the_follower_began(database: Database) -> None:
    say(database, 1)
    follower, historian = Follower(database), Follower(database, from_start=True)
    assert heard(follower) == []
    say(database, 2)
    say(database, 3)
    assert heard(follower) == [2, 3]
    assert heard(follower) == []
    assert heard(historian) == [1, 2, 3]
    assert newest_change(database) == 3


def test_what_is_rolled_back_was_never_said(database: Database) -> None:
    follower = Follower(database)
    with database.connect() as connection, connection.begin() as transaction:
        append_change(connection, "events", {"number": 1})
        transaction.rollback()
    assert heard(follower) == []


def told(tidings: Tidings) -> list[int]:
    return sorted(change.detail["number"] for change in tidings.poll())


def test_tidings_come_once_each(database: Database) -> None:
    say(database, 1)
    tidings = Tidings(database)
    assert told(tidings) == []
    say(database, 2)
    say(database, 3)
    assert told(tidings) == [2, 3]
    assert told(tidings) == []
    say(database, 4)
    assert told(tidings) == [4]


def test_after_a_long_silence_all_tidings_come(database: Database) -> None:
    """More of them than a statement takes parameters."""
    tidings = Tidings(database)
    with database.begin() as connection:
        row = {"kind": "events", "detail": {"number": 1}, "recorded_at": 0, "transaction_id": 0}
        connection.execute(insert(change), [row] * 70_000)
    assert len(tidings.poll()) == 70_000
    assert tidings.poll() == []


def around_a_late_commit(database: Database, read: Callable[[], list[int]]) -> tuple[list[int], list[int]]:
    """What is read while a transaction is open whose row has the lower id, and once it has committed."""
    with database.begin() as slow:
        append_change(slow, "events", {"number": 1})
        say(database, 2)
        first = read()
    return first, read()


@pytest.mark.postgres
def test_tidings_wait_for_no_older_transaction_and_miss_none(postgresql_url_fresh: str) -> None:
    database = Database(postgresql_url_fresh)
    tidings = Tidings(database)
    found = around_a_late_commit(database, lambda: told(tidings))
    last = told(tidings)
    database.close()
    assert (*found, last) == ([2], [1], [])


@pytest.mark.postgres
def test_a_transaction_that_commits_late_is_not_skipped(postgresql_url_fresh: str) -> None:
    database = Database(postgresql_url_fresh)
    follower = Follower(database)
    found = around_a_late_commit(database, lambda: heard(follower))
    database.close()
    assert found == ([], [1, 2])


@pytest.mark.postgres
def test_a_follower_begun_meanwhile_hears_the_late_one(postgresql_url_fresh: str) -> None:
    database = Database(postgresql_url_fresh)
    say(database, 0)
    with database.begin() as slow:
        append_change(slow, "events", {"number": 1})
        say(database, 2)
        follower = Follower(database)
    assert heard(follower) == [1, 2]
    database.close()


def test_too_many_names_are_none() -> None:
    assert names(["a", "b"]) == ["a", "b"]
    assert names(["a"] * 1001) is None
