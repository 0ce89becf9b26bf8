"""BatchGetEmbeddings and ExportEmbeddings: contents, order, resumption."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from penchant.client import Kind
from penchant.errors import InvalidArgumentError
from penchant.export import export_parquet
from penchant.v1 import embedding_pb2 as embedding
from penchant.vectors import EmbeddingChunk

from graph.storage.times import now_us
from server.servicers import embedding as servicer
from training.interest_weights import supported

if TYPE_CHECKING:
    from tests.server.conftest import Running, Served

KINDS: tuple[Kind, ...] = ("users", "items", "categories")


def ids_of(chunks: Sequence[EmbeddingChunk]) -> list[str]:
    return [name for chunk in chunks for name in chunk.ids]


def test_vectors_by_name_keep_the_order_of_the_request(anywhere: "Served") -> None:
    artifact = anywhere.world.artifact("m1.1")
    found = anywhere.client.batch_get_embeddings("items", ["i7", "no such item", "newer-item", "i3", "i7"])
    ok, unknown, newer = (
        embedding.EMBEDDING_STATUS_OK,
        embedding.EMBEDDING_STATUS_UNKNOWN_ID,
        embedding.EMBEDDING_STATUS_NOT_IN_REVISION,
    )
    assert found.statuses == [ok, unknown, newer, ok, ok]
    assert found.counts.tolist() == [1, 0, 0, 1, 1]
    np.testing.assert_array_equal(found.vectors, artifact.item_vectors[artifact.items.index_of(["i7", "i3", "i7"])])
    assert (found.vector_space, found.model_version) == ("m1", "m1.1")
    categories = anywhere.client.batch_get_embeddings("categories", ["c1", "c-empty"])
    assert categories.statuses == [ok, embedding.EMBEDDING_STATUS_EMPTY]


def test_a_user_has_a_vector_for_each_interest(anywhere: "Served", stored_histories: Any) -> None:
    """Two at most, as the net makes them, and only those that something speaks for."""
    users = [f"u{number}" for number in range(64)]
    found = anywhere.client.batch_get_embeddings("users", [*users, "nobody at all"])
    histories, net = stored_histories(anywhere, users, now_us()), anywhere.world.artifact("m1.1").mixture.net
    expected, weights = supported(net.users(histories), net.vectors, histories)
    assert found.counts.tolist() == [*(weights > 0).sum(axis=1).tolist(), 0]
    assert set(found.counts.tolist()) == {0, 1, 2}
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(found.vectors, expected[weights > 0], atol=1e-5)
    np.testing.assert_allclose(found.weights, weights[weights > 0], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_holds_each_id_once_with_the_vectors_that_are_given_by_name(anywhere: "Served", kind: Kind) -> None:
    chunks = list(anywhere.client.export_embeddings(kind))
    ids = ids_of(chunks)
    assert len(ids) == len(set(ids))
    assert ids == sorted(ids, key=str.encode)
    assert {"users": {"u1", "u63"}, "items": {"i0", "i9"}, "categories": {"c-all", "c3"}}[kind] <= set(ids)
    assert "c-empty" not in ids
    named = anywhere.client.batch_get_embeddings(kind, ids)
    np.testing.assert_allclose(np.concatenate([chunk.vectors for chunk in chunks]), named.vectors, atol=1e-5)
    assert len({(chunk.model_version, chunk.as_of, chunk.total_ids) for chunk in chunks}) == 1
    if kind != "users":  # users without a vector are counted as well
        assert chunks[0].total_ids == len(ids)


def test_after_the_last_chunk_a_token_leads_to_nothing_more(anywhere: "Served") -> None:
    for kind in KINDS:
        *_, last = anywhere.client.export_embeddings(kind)
        assert list(anywhere.client.export_embeddings(kind, resume_token=last.resume_token)) == []


def test_an_export_goes_on_after_every_chunk(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servicer, "CHUNK_IDS", 7)
    monkeypatch.setattr(servicer, "USERS_PER_READ", 3)
    running: Running = run()
    for kind in KINDS:
        whole = list(running.client.export_embeddings(kind))
        assert len(whole) > (1 if kind == "categories" else 5) - 1
        for n, chunk in enumerate(whole):
            rest = list(running.client.export_embeddings(kind, resume_token=chunk.resume_token))
            assert ids_of(whole[: n + 1]) + ids_of(rest) == ids_of(whole)
            assert {each.total_ids for each in rest} <= {chunk.total_ids}
            assert {each.as_of for each in rest} <= {chunk.as_of}


def test_an_export_of_nothing_says_which_revision_it_is_of(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    running: Running = run()
    monkeypatch.setattr(servicer, "list_users", lambda *_, **__: [])
    (only,) = running.client.export_embeddings("users")
    assert (list(only.ids), only.vectors.shape, only.model_version) == ([], (0, 16), "m1.1")


def test_a_token_of_another_export_is_refused(served: "Served") -> None:
    chunk = next(served.client.export_embeddings("items"))
    for kind, half in (("users", False), ("items", True)):
        with pytest.raises(InvalidArgumentError) as caught:
            next(served.client.export_embeddings(kind, half=half, resume_token=chunk.resume_token))  # type: ignore[arg-type]  # a str in place of the three names
        assert caught.value.reason == "TOKEN_OF_OTHER_REQUEST"


def test_all_users_go_into_one_file(served: "Served", tmp_path: Path) -> None:
    exported = export_parquet(served.client, "users", tmp_path / "users.parquet")
    assert pq.read_metadata(tmp_path / "users.parquet").num_rows == exported.vectors
    assert exported.ids < exported.vectors < 2 * exported.ids  # as many as each user has interests
    assert exported.model_version == "m1.1"
