"""A Node program reads the .proto files as they are and makes every call."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from google.protobuf.message import Message
from penchant.rpcs import RPCS
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1.embedding_pb2 import BatchGetEmbeddingsResponse, ExportEmbeddingsResponse
from penchant.vectors import encode

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer, Running

NODE = Path(__file__).with_name("node")
VECTOR = encode(np.array([[0.5, -2]], np.float32))

pytestmark = [
    pytest.mark.skipif(shutil.which("npm") is None, reason="Node is not installed"),
    pytest.mark.network,
    pytest.mark.timeout(180),
]


@pytest.fixture(scope="module")
def _installed() -> None:
    if not (NODE / "node_modules").exists():
        subprocess.run(["npm", "ci", "--silent"], cwd=NODE, check=True)


@pytest.mark.usefixtures("_installed")
def test_node_makes_every_call(running: "Running", fake: "FakeServer") -> None:
    special: dict[str, Message] = {
        "ListItems": catalog.ListItemsResponse(items=[catalog.Item(id="i1")]),
        "BatchGetEmbeddings": BatchGetEmbeddingsResponse(vectors=VECTOR, vector_space="space-1"),
        "ExportEmbeddings": ExportEmbeddingsResponse(ids=["c1"], vectors=VECTOR),
    }
    for rpc in RPCS.values():
        for _ in range(3):
            fake.answers(rpc.name, special.get(rpc.name, rpc.response()))
    run = subprocess.run(["node", NODE / "call.mjs", running.target], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert {line["rpc"] for line in lines} == set(RPCS)
    assert fake.asked["GetItem"] == [catalog.GetItemRequest(item="i1")]
    by_vector = fake.asked["FindSimilar"][-1].vector
    assert (by_vector.vector_space, list(by_vector.values)) == ("space-1", [0.5, -2])
    assert fake.asked["UpsertItems"][1].update_mask.paths == ["name"]


@pytest.mark.usefixtures("_installed")
def test_node_sees_code_and_message_of_an_error(running: "Running") -> None:
    run = subprocess.run(["node", NODE / "call.mjs", "127.0.0.1:1"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert json.loads(run.stdout.splitlines()[0])["error"]["code"] == "UNAVAILABLE"
