"""Clients that are not ours: Node with nothing but the .proto files, and buf with nothing but reflection."""

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from penchant.rpcs import RPCS

if TYPE_CHECKING:
    from tests.server.conftest import World

NODE = Path(__file__).parents[1] / "protos" / "node"
BUF = Path(sys.executable).with_name("buf")


@pytest.mark.network
@pytest.mark.timeout(180)
@pytest.mark.skipif(shutil.which("npm") is None, reason="Node is not installed")
def test_node_makes_every_call(world: "World", run: Callable[[], Any]) -> None:
    if not (NODE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True)
    running = run()
    ended = subprocess.run(["node", NODE / "call.mjs", running.target], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    answers: dict[str, list[Any]] = {}
    for line in map(json.loads, ended.stdout.splitlines()):
        answers.setdefault(line["rpc"], []).append(line["answer"])
    assert set(answers) == set(RPCS)
    assert len(answers["Recommend"][0]["items"]) == 3
    statuses = [row["status"] for row in answers["Score"][0]["scores"]]
    assert statuses == ["SCORE_STATUS_OK", "SCORE_STATUS_UNKNOWN_ITEM"]
    assert [row["status"] for row in answers["RecordEvents"][0]["outcomes"]] == [
        "EVENT_STATUS_ACCEPTED",
        "EVENT_STATUS_DUPLICATE",
    ]
    streamed = answers["StreamEvents"][0]["chunks"][0]["others"]
    assert [(row["row"], row["outcome"]["status"]) for row in streamed] == [(0, "EVENT_STATUS_DUPLICATE")]
    by_vector = answers["FindSimilar"][-1]["neighbours"][0]
    assert by_vector["id"] == "i0"
    assert by_vector["cosine"] == pytest.approx(1, abs=1e-5)
    assert answers["ExportEmbeddings"][0]["chunks"][0]["ids"] == ["c-all", "c0", "c1", "c2", "c3"]
    assert [row["status"] for row in answers["UpsertItems"][1]["outcomes"]] == ["UPSERT_STATUS_UPDATED"]
    assert running.client.get_server_info().model_version == "m1.1"


CALLS: list[tuple[str, dict[str, Any], Callable[[Any], bool]]] = [
    ("ServerService/GetServerInfo", {}, lambda told: told["modelVersion"] == "m1.1"),
    ("InterestService/Score", {"user": "u1", "items": ["i1"]}, lambda told: told["scores"][0]["score"] < 0),
    ("InterestService/Recommend", {"user": "u1", "k": 3}, lambda told: len(told["items"]) == 3),
    ("InterestService/GetInterests", {"user": "u1", "view": "INTEREST_VIEW_FULL"}, lambda told: "interests" in told),
    (
        "SimilarityService/FindSimilar",
        {"item": "i1", "target": "ENTITY_KIND_USER", "k": 2},
        lambda told: len(told["neighbours"]) == 2,
    ),
    ("SegmentService/ListSegments", {"pageSize": 1}, lambda told: len(told["segments"]) == 1),
    ("SegmentService/AssignSegments", {"users": ["u1"]}, lambda told: told["assignments"][0]["segments"]),
    ("EmbeddingService/ExportEmbeddings", {"kind": "ENTITY_KIND_CATEGORY"}, lambda told: len(told["ids"]) == 5),
    (
        "EmbeddingService/BatchGetEmbeddings",
        {"kind": "ENTITY_KIND_ITEM", "ids": ["i1"]},
        lambda told: told["statuses"] == ["EMBEDDING_STATUS_OK"],
    ),
    ("CatalogService/UpsertUsers", {"users": [{"id": "buf"}]}, lambda told: len(told["outcomes"]) == 1),
    ("CatalogService/ListItems", {"pageSize": 2}, lambda told: len(told["items"]) == 2),
    (
        "EventService/RecordEvents",
        {
            "events": [
                {"eventId": "buf-1", "user": "buf", "item": "i1", "kind": "view", "occurredAt": "2026-01-31T12:00:00Z"}
            ]
        },
        lambda told: told["outcomes"][0]["status"] in ("EVENT_STATUS_ACCEPTED", "EVENT_STATUS_DUPLICATE"),
    ),
    ("ModelService/ListModels", {}, lambda told: told["activeVersion"] == "m1.1"),
    ("ModelService/RollbackModel", {"fromVersion": "m0.0"}, lambda told: told["activeVersion"] == "m1.1"),
]


def curl(target: str, method: str, data: str) -> "subprocess.CompletedProcess[str]":
    command = [str(BUF), "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--data", data]
    return subprocess.run([*command, f"http://{target}/{method}"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("method", "data", "is_right"), CALLS, ids=[method for method, _, _ in CALLS])
def test_buf_needs_no_proto_files(
    served: Any, method: str, data: dict[str, Any], is_right: Callable[[Any], bool]
) -> None:
    ended = curl(served.target, f"penchant.v1.{method}", json.dumps(data))
    assert ended.returncode == 0, ended.stderr
    assert is_right(json.loads(ended.stdout))


def test_buf_shows_code_and_details_of_an_error(served: Any) -> None:
    ended = curl(served.target, "penchant.v1.CatalogService/GetItem", '{"item": "no such item"}')
    told = json.loads(ended.stderr)
    assert told["code"] == "not_found"
    assert told["details"][0]["type"] == "google.rpc.ErrorInfo"
    packed = told["details"][0]["value"]
    info = ErrorInfo.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    assert info.reason == "UNKNOWN_ITEM"


def test_buf_sees_the_health(served: Any) -> None:
    ended = curl(served.target, "grpc.health.v1.Health/Check", '{"service": "penchant.v1.InterestService"}')
    assert json.loads(ended.stdout) == {"status": "SERVING"}
