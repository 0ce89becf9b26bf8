"""The README's snippets run as they stand, and its table names every file."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from penchant.rpcs import RPCS
from penchant.v1.embedding_pb2 import EMBEDDING_STATUS_OK, BatchGetEmbeddingsResponse, ExportEmbeddingsResponse
from penchant.v1.event_pb2 import StreamEventsResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.protos.conftest import FakeServer, Running

PROTOS = Path(__file__).parents[2] / "protos"
README = (PROTOS / "README.md").read_text("utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_a_snippet_runs(
    snippet: str,
    running: "Running",
    fake: "FakeServer",
    chunk: "Callable[..., ExportEmbeddingsResponse]",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = chunk(1).vectors
    batch = BatchGetEmbeddingsResponse(statuses=[EMBEDDING_STATUS_OK] * 2, vector_counts=[1, 1], vectors=vectors)
    streamed = StreamEventsResponse(batch=1, accepted=3)
    special = {"ExportEmbeddings": chunk(1), "BatchGetEmbeddings": batch, "StreamEvents": streamed}
    for rpc in RPCS.values():
        for _ in range(3):
            fake.answers(rpc.name, special.get(rpc.name, rpc.response()))
    monkeypatch.chdir(tmp_path)
    snippet = snippet.replace("127.0.0.1:50051", running.target)
    exec(snippet.replace("localhost:50051", running.target), {})
    assert fake.asked


def test_the_table_names_every_file() -> None:
    listed = set(re.findall(r"^\| `([\w./]+\.\w+)` \|", README, re.MULTILINE))
    kept = {*(PROTOS / "penchant").glob("*.py"), *PROTOS.glob("*.py"), *PROTOS.glob("*.yaml")}
    assert listed == {str(path.relative_to(PROTOS)) for path in kept} - {"penchant/__init__.py"}
