"""An export brings every id exactly once, through cuts and broken chunks, and a file that is whole or not there."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import numpy as np
import penchant
import pyarrow.parquet as pq
import pytest
from penchant import PenchantClient
from penchant.export import export_parquet
from penchant.v1.common_pb2 import ELEMENT_TYPE_F32, ENTITY_KIND_USER
from penchant.v1.embedding_pb2 import ExportEmbeddingsRequest, ExportEmbeddingsResponse

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer

    Chunk = Callable[..., ExportEmbeddingsResponse]

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


def tokens(fake: "FakeServer") -> list[str]:
    return [asked.resume_token for asked in fake.asked["ExportEmbeddings"]]


def test_all_chunks_come_in_order(client: PenchantClient, fake: "FakeServer", chunk: "Chunk") -> None:
    fake.answers("ExportEmbeddings", chunk(1, 2), chunk(3))
    chunks = list(client.export_embeddings("users"))
    assert [each.ids for each in chunks] == [["u1", "u2"], ["u3"]]
    np.testing.assert_array_equal(chunks[0].by_id()["u2"], [[2, 0], [2, 1]])
    request = ExportEmbeddingsRequest(kind=ENTITY_KIND_USER, element_type=ELEMENT_TYPE_F32)
    assert fake.asked["ExportEmbeddings"] == [request]


def test_a_cut_stream_goes_on_after_the_last_chunk(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(UNAVAILABLE))
    fake.refuses("ExportEmbeddings", UNAVAILABLE)
    fake.answers("ExportEmbeddings", chunk(2), chunk(3))
    assert [name for each in client.export_embeddings("users") for name in each.ids] == ["u1", "u2", "u3"]
    assert tokens(fake) == ["", "after u1", "after u1"]


def test_a_cut_after_the_last_chunk_ends_well(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(UNAVAILABLE))
    fake.answers("ExportEmbeddings")
    assert len(list(client.export_embeddings("users"))) == 1


def test_every_chunk_allows_as_many_failures_again(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    for number in range(10):
        fake.answers("ExportEmbeddings", chunk(number), fake.refusal(UNAVAILABLE))
    fake.answers("ExportEmbeddings")
    assert len(list(client.export_embeddings("users"))) == 10


def test_it_gives_up_where_nothing_comes_any_more(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(UNAVAILABLE))
    fake.refuses("ExportEmbeddings", UNAVAILABLE, times=5)
    with pytest.raises(penchant.UnavailableError):
        list(client.export_embeddings("users"))


def test_a_corrupt_chunk_is_fetched_again(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    corrupt = chunk(2)
    corrupt.ids[0] = "u9"
    fake.answers("ExportEmbeddings", chunk(1), corrupt, chunk(3))
    fake.answers("ExportEmbeddings", chunk(2), chunk(3))
    assert [name for each in client.export_embeddings("users") for name in each.ids] == ["u1", "u2", "u3"]
    assert tokens(fake) == ["", "after u1"]


@pytest.mark.parametrize("code", [grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.DEADLINE_EXCEEDED])
def test_other_errors_end_it(
    code: grpc.StatusCode, client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(code, reason="MODEL_VERSION_GONE"))
    with pytest.raises(penchant.ModelVersionGoneError):
        list(client.export_embeddings("users"))
    assert pauses == []


def test_revisions_are_never_mixed(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float]
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(UNAVAILABLE))
    fake.answers("ExportEmbeddings", chunk(2, version="m7.13"))
    with pytest.raises(penchant.ServerError, match=r"m7\.12 .* went on as m7\.13"):
        list(client.export_embeddings("users"))


def test_the_file_of_a_cut_export_holds_every_vector_once(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", pauses: list[float], tmp_path: Path
) -> None:
    fake.answers("ExportEmbeddings", chunk(1, 2), fake.refusal(UNAVAILABLE))
    fake.answers("ExportEmbeddings", chunk(3), chunk(4))
    steps: list[tuple[int, int]] = []
    path = tmp_path / "users.parquet"
    written = export_parquet(client, "users", path, progress=lambda done, total: steps.append((done, total)))
    assert (written.ids, written.vectors, written.model_version) == (4, 8, "m7.12")
    assert steps == [(2, 4), (3, 4), (4, 4)]
    table = pq.read_table(path)
    assert table.column("id").to_pylist() == ["u1", "u1", "u2", "u2", "u3", "u3", "u4", "u4"]
    assert table.column("interest").to_pylist() == [0, 1] * 4
    assert table.column("weight").to_pylist() == [0.75, 0.25] * 4
    assert table.column("vector").to_pylist()[-1] == [4, 1]
    assert table.schema.metadata[b"penchant.model_version"] == b"m7.12"
    assert [each.name for each in tmp_path.iterdir()] == ["users.parquet"]


def test_a_failed_export_leaves_the_older_file_and_the_next_one_goes_on(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    path = tmp_path / "users.parquet"
    path.write_text("older")
    fake.answers("ExportEmbeddings", chunk(1), chunk(2), fake.refusal(grpc.StatusCode.INTERNAL))
    with pytest.raises(penchant.ServerError):
        export_parquet(client, "users", path)
    assert path.read_text() == "older"
    fake.answers("ExportEmbeddings", chunk(3), chunk(4))
    steps: list[int] = []
    written = export_parquet(client, "users", path, progress=lambda done, total: steps.append(done))
    assert tokens(fake) == ["", "after u2"]
    assert steps == [3, 4]
    assert (written.ids, written.vectors) == (4, 8)
    assert pq.read_table(path).column("id").to_pylist() == [f"u{n}" for n in (1, 1, 2, 2, 3, 3, 4, 4)]
    assert [each.name for each in tmp_path.iterdir()] == ["users.parquet"]


def test_an_export_that_was_cut_after_its_end_is_finished(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(grpc.StatusCode.INTERNAL))
    with pytest.raises(penchant.ServerError):
        export_parquet(client, "users", tmp_path / "users.parquet")
    fake.answers("ExportEmbeddings")
    assert export_parquet(client, "users", tmp_path / "users.parquet").ids == 1


def interrupted(client: PenchantClient, fake: "FakeServer", chunk: "Chunk", path: Path) -> None:
    fake.answers("ExportEmbeddings", chunk(1, 2), fake.refusal(grpc.StatusCode.INTERNAL))
    with pytest.raises(penchant.ServerError):
        export_parquet(client, "users", path)


def test_a_model_that_went_meanwhile_says_what_to_do(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    path = tmp_path / "users.parquet"
    interrupted(client, fake, chunk, path)
    fake.refuses("ExportEmbeddings", grpc.StatusCode.FAILED_PRECONDITION, reason="MODEL_VERSION_GONE")
    with pytest.raises(penchant.ModelVersionGoneError, match=r"m7\.12 .*--restart.* 2 users"):
        export_parquet(client, "users", path)
    fake.answers("ExportEmbeddings", chunk(5, version="m7.14"))
    assert export_parquet(client, "users", path, restart=True).model_version == "m7.14"
    assert tokens(fake) == ["", "after u2", ""]
    assert pq.read_table(path).column("id").to_pylist() == ["u5", "u5"]


def test_a_model_that_went_during_an_export_says_what_to_do(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path, pauses: list[float]
) -> None:
    fake.answers("ExportEmbeddings", chunk(1), fake.refusal(UNAVAILABLE))
    fake.refuses("ExportEmbeddings", grpc.StatusCode.FAILED_PRECONDITION, reason="MODEL_VERSION_GONE")
    with pytest.raises(penchant.ModelVersionGoneError, match=r"m7\.12 .*--restart.* 1 users"):
        export_parquet(client, "users", tmp_path / "users.parquet")


def test_another_revision_is_never_written_behind_the_first(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    interrupted(client, fake, chunk, tmp_path / "users.parquet")
    fake.answers("ExportEmbeddings", chunk(3, version="m7.13"))
    with pytest.raises(penchant.ModelVersionGoneError, match="--restart"):
        export_parquet(client, "users", tmp_path / "users.parquet")


def test_what_is_left_of_another_export_is_not_gone_on_with(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    interrupted(client, fake, chunk, tmp_path / "vectors.parquet")
    with pytest.raises(penchant.ConfigurationError, match="parts of an export of users"):
        export_parquet(client, "items", tmp_path / "vectors.parquet")
    with pytest.raises(penchant.ConfigurationError, match="parts of an export of users"):
        export_parquet(client, "users", tmp_path / "vectors.parquet", half=True)


def test_two_exports_into_one_file_do_not_meet(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    path = tmp_path / "users.parquet"

    def another(done: int, total: int) -> None:
        with pytest.raises(penchant.ConfigurationError, match="Another process exports"):
            export_parquet(client, "users", path)

    fake.answers("ExportEmbeddings", chunk(1))
    assert export_parquet(client, "users", path, progress=another).ids == 1


def test_nothing_to_export_makes_a_file_without_rows(
    client: PenchantClient, fake: "FakeServer", chunk: "Chunk", tmp_path: Path
) -> None:
    fake.answers("ExportEmbeddings", chunk())
    assert export_parquet(client, "users", tmp_path / "users.parquet").vectors == 0
    assert pq.read_table(tmp_path / "users.parquet").num_rows == 0


def test_small_chunks_share_row_groups(
    client: PenchantClient,
    fake: "FakeServer",
    chunk: "Chunk",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("penchant.export.ROW_GROUP_ROWS", 4)
    fake.answers("ExportEmbeddings", *(chunk(number) for number in range(5)))
    export_parquet(client, "users", tmp_path / "users.parquet")
    assert pq.ParquetFile(tmp_path / "users.parquet").metadata.num_row_groups == 3
