import pytest

from graph.storage.changes import Follower, append_change, names, newest_change
from graph.storage.database import Database


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


@pytest.mark.postgres
def test_a_transaction_that_commits_late_is_not_skipped(postgresql_url_fresh: str) -> None:
    """Its row has the lower id, and appears after one with a higher id was there to be read."""
    database = Database(postgresql_url_fresh)
    follower = Follower(database)
    with database.begin() as slow:
        append_change(slow, "events", {"number": 1})
        say(database, 2)
        first = heard(follower)
    second = heard(follower)
    database.close()
    assert (first, second) == ([], [1, 2])


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
