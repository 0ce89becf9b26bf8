import pytest

from graph.storage.database import Database
from graph.storage.errors import ConflictError
from graph.storage.registry import activate, activations, add_revision, create_model, rollback


def test_a_rollback_that_names_what_it_leaves_happens_once(database: Database) -> None:
    number = create_model(database, config={})
    versions = [
        add_revision(database, number, path="p", as_of=0, known_at=0, snapshot_hash="", metrics={}) for _ in range(3)
    ]
    for version in versions:
        activate(database, version)
    newest = str(versions[2])
    assert rollback(database, leaving=newest).version == versions[1]
    assert rollback(database, leaving=newest).version == versions[1]
    assert len(activations(database)) == 4
    assert rollback(database).version == versions[0]
    with pytest.raises(ConflictError) as caught:
        rollback(database)
    assert caught.value.reason == "NO_PREVIOUS_REVISION"


def test_nothing_to_leave_is_a_conflict(database: Database) -> None:
    with pytest.raises(ConflictError):
        rollback(database, leaving="m1.1")
