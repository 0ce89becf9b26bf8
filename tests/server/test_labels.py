"""A share of the users is answered by what a label names; what is of no single user, by what is active."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from penchant.errors import NotFoundError
from penchant.v1 import server_pb2 as server
from structlog.testing import capture_logs

from graph.storage.labels import position

if TYPE_CHECKING:
    from tests.server.conftest import Running, Served

Run = Callable[[], "Running"]
USERS = [f"u{n}" for n in range(64)]


def of_canary(share: float) -> set[str]:
    return {user for user in USERS if position("canary", user) < share}


def answered_by(running: "Running", version: str) -> set[str]:
    return {user for user in USERS if running.client.recommend(user, 1).model_version == version}


def takes(running: "Running", label: str, share: float) -> Callable[[], bool]:
    return lambda: (label, share) in {(each.label, each.share) for each in running.client.get_server_info().labels}


def test_users_are_answered_by_their_side_on_every_server(run: Run, eventually: Any) -> None:
    running = run()
    told = running.client.set_label("canary", "m1.2", share=0.3)
    assert (told.name, told.version, told.share) == ("canary", "m1.2", 0.3)
    eventually(takes(running, "canary", 0.3))
    other = run()  # started later, over the same store: it takes the same users
    for each in (running, other):
        info = each.client.get_server_info()
        assert info.model_version == "m1.1"
        assert list(info.labels) == [server.ServedLabel(label="canary", version="m1.2", share=0.3)]
        assert answered_by(each, "m1.2") == of_canary(0.3)
    canary, stable = min(of_canary(0.3)), min(set(USERS) - of_canary(0.3))
    client = running.client
    for user, version in ((canary, "m1.2"), (stable, "m1.1"), ("a-stranger", "m1.1")):
        assert client.score(user, ["i1"]).model_version == version
        assert client.get_interests(user).model_version == version
    assert client.find_similar("items", user=canary, k=3).model_version == "m1.2"

    assert client.find_similar("items", item="i1", k=3).model_version == "m1.1"
    assert client.assign_segments([canary]).model_version == "m1.1"
    assert client.batch_get_embeddings("users", [canary]).model_version == "m1.1"
    assert {chunk.model_version for chunk in client.export_embeddings("users")} == {"m1.1"}


def test_a_larger_share_takes_users_over_and_a_removed_label_gives_all_back(run: Run, eventually: Any) -> None:
    running = run()
    running.client.set_label("canary", "m1.2", share=0.1)
    eventually(takes(running, "canary", 0.1))
    few = answered_by(running, "m1.2")
    running.client.set_label("canary", "m1.2", share=0.5)
    eventually(takes(running, "canary", 0.5))
    assert few < answered_by(running, "m1.2") == of_canary(0.5)
    assert running.client.delete_label("canary")
    eventually(lambda: not running.client.get_server_info().labels)
    assert answered_by(running, "m1.1") == set(USERS)
    assert list(running.app._models._loaded.engines) == ["m1.1"]  # and its memory is given back
    assert not running.client.delete_label("canary")


def test_a_canary_that_becomes_active_answers_all_and_is_loaded_once(run: Run, eventually: Any) -> None:
    running = run()
    running.client.set_label("canary", "m1.2", share=0.5)
    eventually(takes(running, "canary", 0.5))
    engine = running.app._models.at("m1.2")
    running.client.activate_model("m1.2")
    eventually(lambda: running.client.get_server_info().model_version == "m1.2")
    assert running.app._models.current() is engine
    assert answered_by(running, "m1.2") == set(USERS)


def test_a_canary_that_cannot_be_loaded_takes_nobody(run: Run, eventually: Any) -> None:
    running = run()
    with capture_logs() as logs:
        running.client.set_label("canary", "m1.3", share=1.0)
        eventually(lambda: running.client.get_server_info().problem)
    info = running.client.get_server_info()
    assert "m1.3" in info.problem
    assert not info.labels
    assert [entry["version"] for entry in logs if entry["event"] == "cannot load"] == ["m1.3"]
    assert answered_by(running, "m1.1") == set(USERS)
    running.client.delete_label("canary")
    eventually(lambda: not running.client.get_server_info().problem)


def test_a_label_without_a_share_is_a_name(run: Run) -> None:
    running = run()
    running.client.set_label("canary", "m1.2", share=0.25)
    running.client.set_label("best", "m1.2")
    shown = [(each.name, each.version, each.share) for each in running.client.list_labels()]
    assert shown == [("stable", "m1.1", 0.75), ("best", "m1.2", 0.0), ("canary", "m1.2", 0.25)]
    revisions = {each.version: each for each in running.client.get_model("m1").revisions}
    assert list(revisions["m1.2"].labels) == ["best", "canary"]
    assert list(revisions["m1.1"].labels) == ["stable"]
    with pytest.raises(NotFoundError) as caught:
        running.client.set_label("canary", "m1.9")
    assert caught.value.reason == "UNKNOWN_MODEL"


def test_what_the_gate_saw_is_shown(run: Run) -> None:
    running = run()
    answer = running.client.activate_model("m1.2")
    (last,) = [each for each in running.client.get_model("m1").revisions if each.version == "m1.2"]
    assert list(last.last_activation.checks) == list(answer.checks)
    assert (last.last_activation.rollback, last.last_activation.activated_at.seconds > 0) == (False, True)
    checks = {check.name: check for check in answer.checks}
    assert checks["ndcg_of_baseline"].HasField("value")
    assert checks["overlap"].verdict == 3  # skipped: the weights are those of what is active
    assert not checks["overlap"].HasField("value")
    assert "m1.1" in checks["overlap"].reason
    assert not running.client.activate_model("m1.2").checks  # it was active
    running.client.rollback_model()
    (first,) = [each for each in running.client.get_model("m1").revisions if each.version == "m1.1"]
    assert first.last_activation.rollback
    assert not first.last_activation.checks


def test_a_label_reaches_a_server_over_postgresql(served_by_postgresql: "Served", eventually: Any) -> None:
    client = served_by_postgresql.client
    client.set_label("canary", "m1.2", share=0.3)
    canary = min(of_canary(0.3))
    eventually(lambda: client.recommend(canary, 1).model_version == "m1.2", patience_s=45)
    assert client.delete_label("canary")
    eventually(lambda: client.recommend(canary, 1).model_version == "m1.1")
