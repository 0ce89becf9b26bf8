"""Activation and rollback under calls in flight; a revision that cannot be loaded; tokens of one that is gone."""

import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from penchant.errors import FailedPreconditionError, InvalidArgumentError, ModelVersionGoneError, NotFoundError
from penchant.v1 import segment_pb2 as segment

from graph.storage import registry
from server import reload

if TYPE_CHECKING:
    from tests.server.conftest import Running, Served, World

Run = Callable[[], "Running"]
PublishAs = Callable[["World", str, str], None]


def serves(running: Any, version: str) -> Callable[[], bool]:
    return lambda: running.client.get_server_info().model_version == version


def lose(running: "Running", version: str) -> None:
    """A revision of the same files whose recorded metrics say that it lost to a baseline."""
    like = registry.get_revision(running.database, registry.parse_version(version))
    metrics = {"validation_ndcg@10": 0.1, "validation_ndcg@10_best_baseline": 0.2}
    found = registry.add_revision(
        running.database, 1, path=like.path, as_of=0, known_at=0, snapshot_hash="", metrics=metrics
    )
    assert str(found) == "m1.4"


def test_models_and_revisions_newest_first(anywhere: "Served") -> None:
    (only,) = anywhere.client.list_models()
    assert only == anywhere.client.get_model("m1")
    assert [(each.version, each.active) for each in only.revisions] == [
        ("m1.3", False),
        ("m1.2", False),
        ("m1.1", True),
    ]
    assert (only.dim, only.vector_space) == (16, "m1")
    assert json_format.MessageToDict(only.config)["net"]["interests"] == 2
    assert only.revisions[-1].metrics["validation_ndcg@10"] > 0
    assert only.revisions[-1].as_of == anywhere.client.get_server_info().as_of
    with pytest.raises(NotFoundError) as caught:
        anywhere.client.get_model("m2")
    assert caught.value.reason == "UNKNOWN_MODEL"


def test_what_sold_lately_is_counted_again_while_calls_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, eventually: Any
) -> None:
    monkeypatch.setattr(reload, "COUNT_AGAIN_S", 0.3)
    running = run()
    models = running.app._models
    counted = models.current().revision.fast
    eventually(lambda: models.current().revision.fast is not counted)
    assert models.current().revision.version == "m1.1"
    assert len(running.client.recommend("u1", 3).items) == 3


def test_models_are_paged(run: Run) -> None:
    running = run()
    for _ in range(4):
        number = registry.create_model(running.database, config={})
        registry.add_revision(running.database, number, path="p", as_of=0, known_at=0, snapshot_hash="", metrics={})
    assert [each.id for each in running.client.list_models(page_size=2)] == ["m5", "m4", "m3", "m2", "m1"]


def test_activation_swaps_and_rollback_swaps_back(run: Run, eventually: Any) -> None:
    running = run()
    client = running.client
    answer = client.activate_model("m1.2", force=True, reason="a test")
    assert (answer.active_version, answer.previous_version) == ("m1.2", "m1.1")
    eventually(serves(running, "m1.2"))
    assert client.recommend("u1", 3).model_version == "m1.2"
    assert client.activate_model("m1.2").previous_version == "m1.2"  # it serves already
    elsewhere = client.rollback_model(from_version="m1.1")
    assert (elsewhere.active_version, elsewhere.previous_version) == ("m1.2", "m1.2")
    for _ in range(2):  # sent again it happens once
        assert client.rollback_model(from_version="m1.2", reason="a test").active_version == "m1.1"
    eventually(serves(running, "m1.1"))
    with pytest.raises(FailedPreconditionError) as caught:
        client.rollback_model()
    assert caught.value.reason == "NO_PREVIOUS_REVISION"
    record = registry.activations(running.database)
    assert [(str(each.version), each.is_rollback) for each in record] == [
        ("m1.1", False),
        ("m1.2", False),
        ("m1.1", True),
    ]
    assert record[1].reason == "a test"


def test_what_lost_serves_only_when_forced(run: Run, eventually: Any) -> None:
    running = run()
    shutil.copytree(running.world.artifacts / "m1.2", running.world.artifacts / "m1.4")
    lose(running, "m1.2")
    with pytest.raises(FailedPreconditionError) as caught:
        running.client.activate_model("m1.4")
    assert caught.value.reason == "MODEL_LOSES"
    with pytest.raises(InvalidArgumentError) as refused:
        running.client.activate_model("m1.4", force=True)
    assert refused.value.reason == "REASON_REQUIRED"
    running.client.activate_model("m1.4", force=True, reason="we know better")
    newest = registry.activations(running.database)[-1]
    assert (str(newest.version), newest.forced, newest.reason) == ("m1.4", True, "we know better")


@pytest.mark.parametrize(
    ("version", "kind", "reason"),
    [
        ("m1.99", NotFoundError, "UNKNOWN_MODEL"),
        ("banana", InvalidArgumentError, "INVALID_VERSION"),
        ("", InvalidArgumentError, "INVALID_ID"),
    ],
)
def test_versions_that_are_none(served: "Served", version: str, kind: type[Exception], reason: str) -> None:
    with pytest.raises(kind) as caught:
        served.client.activate_model(version)
    assert caught.value.reason == reason  # type: ignore[attr-defined]  # of several kinds, all with a reason


def test_tokens_outlive_one_swap_and_not_two(
    run: Run, eventually: Any, publish_as: PublishAs, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = run()
    client = running.client
    monkeypatch.setattr("server.servicers.embedding.CHUNK_IDS", 10)
    export = next(client.export_embeddings("items")).resume_token
    one = next(client.list_segments()).id
    page = client.call(segment.ListMembersRequest(segment=one, page_size=1))
    assert isinstance(page, segment.ListMembersResponse)
    client.activate_model("m1.2", force=True, reason="a test")
    eventually(serves(running, "m1.2"))
    rest = list(client.export_embeddings("items", resume_token=export))
    assert {chunk.model_version for chunk in rest} == {"m1.1"}
    following = client.call(segment.ListMembersRequest(segment=one, page_token=page.next_page_token))
    assert isinstance(following, segment.ListMembersResponse)
    assert following.model_version == "m1.1"

    shutil.rmtree(running.world.artifacts / "m1.3")
    publish_as(running.world, "m1.2", "m1.3")
    client.activate_model("m1.3", force=True, reason="a test")
    eventually(serves(running, "m1.3"))
    with pytest.raises(ModelVersionGoneError):
        client.call(segment.ListMembersRequest(segment=one, page_token=page.next_page_token))
    with pytest.raises(ModelVersionGoneError):
        next(client.export_embeddings("items", resume_token=export))


def test_a_stream_goes_on_with_the_revision_it_began_with(
    run: Run, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.servicers.embedding.CHUNK_IDS", 1)
    running = run()
    stream = running.client.export_embeddings("items")
    chunks = [next(stream)]
    running.client.activate_model("m1.2", force=True, reason="a test")
    eventually(serves(running, "m1.2"))
    chunks += list(stream)
    assert {chunk.model_version for chunk in chunks} == {"m1.1"}
    assert len(chunks) == 60


def test_health_knows_which_services_can_answer(served: "Served") -> None:
    import grpc

    with grpc.insecure_channel(served.target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for service in ("", "penchant.v1.InterestService", "penchant.v1.CatalogService", "grpc.health.v1.Health"):
            found = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=30)
            assert found.status == health_pb2.HealthCheckResponse.SERVING
        watchers = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=30) for _ in range(40)]
        for watcher in watchers:  # more of them than threads: none holds one
            assert next(watcher).status == health_pb2.HealthCheckResponse.SERVING
        assert served.client.get_server_info(deadline_ms=10_000).api == "penchant.v1"
        for watcher in watchers:
            watcher.cancel()


def test_vectors_carry_the_space_of_their_model(served: "Served") -> None:
    info = served.client.get_server_info()
    chunk = next(served.client.export_embeddings("categories"))
    assert (info.vector_space, info.dim) == (chunk.vector_space, chunk.vectors.shape[1]) == ("m1", 16)
