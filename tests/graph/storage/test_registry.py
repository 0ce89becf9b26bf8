from typing import Any

import pytest

from graph.storage.changes import Follower
from graph.storage.database import Database
from graph.storage.errors import BadInputError, ConflictError, NotFoundError
from graph.storage.registry import (
    Version,
    activate,
    activations,
    active_revision,
    add_revision,
    create_model,
    get_revision,
    next_version,
    parse_version,
    revisions,
    rollback,
)

FACTS: dict[str, Any] = {"as_of": 1, "known_at": 2, "snapshot_hash": "abc", "metrics": {"ndcg": 0.5}}


@pytest.fixture
def model(database: Database) -> int:
    number = create_model(database, config={"dim": 64})
    for path in ("one", "two", "three"):
        add_revision(database, number, path=path, **FACTS)
    return number


@pytest.mark.parametrize("text", ["m7.12", "m1.1", "m123456789.123456789"])
def test_a_version_reads_as_it_is_written(text: str) -> None:
    assert str(parse_version(text)) == text


@pytest.mark.parametrize(
    "text", ["", "m7", "7.12", "m7.12.1", "m-1.1", "m0.1", "m7.0", "m7.012", " m7.1", "m7.1\n", "m٧.1"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match=r"m7\.12"):
        parse_version(text)


def test_revisions_are_numbered_within_their_model(database: Database, model: int) -> None:
    other = create_model(database, config={}, vector_space=f"m{model}")
    add_revision(database, other, path="four", **FACTS)
    assert [str(found.version) for found in revisions(database)] == [
        f"m{model}.1", f"m{model}.2", f"m{model}.3", f"m{other}.1",
    ]  # fmt: skip
    found = get_revision(database, Version(model, 2))
    assert (found.path, found.as_of, found.metrics, found.config) == ("two", 1, {"ndcg": 0.5}, {"dim": 64})
    assert found.vector_space == f"m{model}"
    assert get_revision(database, Version(other, 1)).vector_space == f"m{model}"
    assert next_version(database, model) == Version(model, 4)


def test_a_revision_published_under_another_number_is_refused(database: Database, model: int) -> None:
    with pytest.raises(ConflictError, match=f"m{model}.4 is"):
        add_revision(database, model, path="x", version=Version(model, 3), **FACTS)
    assert add_revision(database, model, path="x", version=Version(model, 4), **FACTS) == Version(model, 4)


def test_what_is_not_there_is_said(database: Database, model: int) -> None:
    with pytest.raises(NotFoundError, match=f"m{model}.9"):
        activate(database, Version(model, 9))
    with pytest.raises(NotFoundError):
        add_revision(database, model + 1, path="x", **FACTS)
    assert active_revision(database) is None


def test_activation_is_followed_and_repeating_it_is_harmless(database: Database, model: int) -> None:
    follower = Follower(database)
    activate(database, Version(model, 2), forced=True, reason="it loses, and we know")
    activate(database, Version(model, 2))
    active = active_revision(database)
    assert active is not None
    assert active.version == Version(model, 2)
    (change,) = follower.poll()
    assert (change.kind, change.detail) == ("activation", {"version": f"m{model}.2"})
    (activation,) = activations(database)
    assert (activation.forced, activation.reason) == (True, "it loses, and we know")


def test_rolling_back_goes_further_back_each_time(database: Database, model: int) -> None:
    with pytest.raises(ConflictError):
        rollback(database)
    for number in (1, 2, 3):
        activate(database, Version(model, number))
    assert rollback(database).version.revision == 2
    assert rollback(database).version.revision == 1
    with pytest.raises(ConflictError, match="No revision served before"):
        rollback(database)
    activate(database, Version(model, 3))
    assert rollback(database).version.revision == 1
    active = active_revision(database)
    assert active is not None
    assert active.version.revision == 1
    assert [activation.is_rollback for activation in activations(database)] == [False] * 3 + [True] * 2 + [False, True]
