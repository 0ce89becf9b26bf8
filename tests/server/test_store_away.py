"""A store that does not answer is UNAVAILABLE with a time to come back, and no bug of ours."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from penchant.client import PenchantClient
from penchant.errors import PenchantError, UnavailableError
from penchant.v1 import catalog_pb2 as catalog

if TYPE_CHECKING:
    from tests.server.conftest import Running, Served


def test_no_connection_comes_free(run: "Callable[[], Running]", monkeypatch: pytest.MonkeyPatch) -> None:
    running = run()
    database = running.app._database
    monkeypatch.setattr(database.engine.pool, "_timeout", 0.2)
    with ExitStack() as all_of_them:
        for _ in range(15):
            all_of_them.enter_context(database.engine.connect())
        with PenchantClient(running.target, retries=0) as impatient, pytest.raises(UnavailableError) as caught:
            impatient.recommend("u1")
    assert caught.value.reason == "STORE_UNAVAILABLE"
    assert caught.value.retry_after_s
    assert len(running.client.recommend("u1", 3).items) == 3


@pytest.mark.postgres
def test_a_store_that_is_gone(served_by_postgresql: "Served") -> None:
    """The server's own sessions are cut; the next calls find new ones."""
    from sqlalchemy import text

    with served_by_postgresql.database.begin() as connection:
        cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        connection.execute(text(f"{cut} AND pid <> pg_backend_pid()"))
    for _ in range(5):
        try:
            served_by_postgresql.client.recommend("u1", 3)
        except PenchantError as error:
            assert isinstance(error, UnavailableError)  # noqa: PT017  # a call may also succeed
    served_by_postgresql.client.upsert_users([catalog.User(id="after the cut")])
