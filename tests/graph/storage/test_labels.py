"""Labels of revisions: what they name, whom they take, and how followers hear of them."""

import hashlib

import pytest

from graph.storage.changes import Follower
from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.labels import Label, labels, position, remove_label, set_label
from graph.storage.registry import Version, add_revision, create_model

USERS = [f"user-{n}" for n in range(20_000)]


@pytest.fixture
def versions(database: Database) -> list[Version]:
    number = create_model(database, config={})
    facts = {"as_of": 0, "known_at": 0, "snapshot_hash": "", "metrics": {}}
    return [add_revision(database, number, path=f"m{number}.{n}", **facts) for n in (1, 2)]  # type: ignore[arg-type]  # of several types


def test_a_label_names_one_revision_and_can_be_moved(database: Database, versions: list[Version]) -> None:
    first, second = versions
    set_label(database, "canary", first, share=0.05)
    set_label(database, "best", first)
    moved = set_label(database, "canary", second, share=0.1)
    assert labels(database)[1] == moved
    assert [(each.name, each.version, each.share) for each in labels(database)] == [
        ("best", first, 0.0),
        ("canary", second, 0.1),
    ]
    assert remove_label(database, "canary")
    assert not remove_label(database, "canary")
    assert [each.name for each in labels(database)] == ["best"]


def test_every_change_of_a_label_is_in_the_feed(database: Database, versions: list[Version]) -> None:
    follower = Follower(database)
    set_label(database, "canary", versions[0], share=0.5)
    remove_label(database, "canary")
    remove_label(database, "canary")  # changes nothing, says nothing
    changes = follower.poll()
    assert [each.kind for each in changes] == ["activation", "activation"]
    assert changes[0].detail == {"label": "canary", "version": str(versions[0]), "share": 0.5}


@pytest.mark.parametrize(
    ("name", "share", "reason"),
    [
        ("stable", 0.1, "LABEL_RESERVED"),
        ("Canary", 0.1, "INVALID_LABEL"),
        ("", 0.1, "INVALID_LABEL"),
        ("a" * 33, 0.1, "INVALID_LABEL"),
        ("canary", -0.1, "INVALID_SHARE"),
        ("canary", 1.01, "INVALID_SHARE"),
        ("canary", float("nan"), "INVALID_SHARE"),
    ],
)
def test_what_is_no_label_is_refused(
    database: Database, versions: list[Version], name: str, share: float, reason: str
) -> None:
    with pytest.raises(BadInputError) as caught:
        set_label(database, name, versions[0], share=share)
    assert caught.value.reason == reason
    assert labels(database) == []


def test_a_revision_that_is_not_there_has_no_label(database: Database, versions: list[Version]) -> None:
    with pytest.raises(NotFoundError):
        set_label(database, "canary", Version(versions[0].model, 9))
    assert labels(database) == []


def test_whom_a_label_takes_is_what_the_documentation_says() -> None:
    """Whoever joins answers with outcomes elsewhere computes it again: it may never change."""
    digest = hashlib.sha256("canary/käthe".encode()).hexdigest()
    assert position("canary", "käthe") == int(digest[:12], 16) / 2**48
    assert position("canary", "ann") == 0.8416241319730737


def test_a_share_is_a_share_of_the_users_and_a_larger_one_gives_none_back() -> None:
    version = Version(1, 1)
    taken = {share: {u for u in USERS if Label("canary", version, share, 0).takes(u)} for share in (0, 0.05, 0.2, 1)}
    assert not taken[0]
    assert taken[0.05] < taken[0.2] < taken[1] == set(USERS)
    for share in (0.05, 0.2):
        assert len(taken[share]) / len(USERS) == pytest.approx(share, abs=0.01)


def test_labels_draw_their_users_independently() -> None:
    both = [u for u in USERS if position("canary", u) < 0.2 and position("other", u) < 0.2]
    assert len(both) / len(USERS) == pytest.approx(0.04, abs=0.01)
