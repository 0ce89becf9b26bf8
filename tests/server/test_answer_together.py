"""Whoever is in a batch gets the own answer: of the own user, the own items and the revision that was asked."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from graph.storage.database import Database
from server.engine import Engine
from server.known_users import KnownUsers
from server.live import read_live_catalog
from server.revision import load_revision
from server.servicers.interest import Asked, answer_together

if TYPE_CHECKING:
    from tests.server.conftest import World


@pytest.fixture
def engines(world: "World") -> Iterator[list[Engine]]:
    database = Database(world.url)
    revisions = [load_revision(Path(world.artifacts) / version) for version in ("m1.1", "m1.2")]
    yield [Engine(database, one, read_live_catalog(database, one.artifact)) for one in revisions]
    database.close()


def test_answers_do_not_depend_on_who_else_asks(engines: list[Engine]) -> None:
    random = np.random.default_rng(0)
    users = [f"u{number}" for number in random.integers(20, size=30)] + ["nobody", "u1"]
    asked = [Asked(engines[int(random.integers(2))], user) for user in users]
    kept = KnownUsers(most_bytes=1 << 20)
    for one, (past, answer) in zip(asked, answer_together(kept, asked), strict=True):
        ((alone, expected),) = answer_together(kept, [one])
        assert past.users == alone.users == [one.user]
        assert past.events == alone.events
        assert past.is_known.tolist() == [one.user != "nobody"]
        exact = one.engine.revision.mixture.explain(past.histories, past.as_of_us, answer.item)
        np.testing.assert_allclose(answer.share, exact, rtol=5e-3, atol=1e-8)
        np.testing.assert_allclose(np.sort(answer.p), np.sort(expected.p), rtol=1e-3, atol=1e-8)
