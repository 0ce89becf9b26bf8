"""Vectors survive the wire, and broken ones are noticed."""

import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from penchant import CorruptDataError, PenchantClient, vectors
from penchant.v1 import embedding_pb2 as embedding
from penchant.v1.common_pb2 import ELEMENT_TYPE_F16, ELEMENT_TYPE_F32, ENTITY_KIND_USER, ElementType, Vectors

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer

MATRIX = np.array([[1, -0.5, 0.1], [0, 2, 3]], np.float32)


def test_single_precision_survives_exactly() -> None:
    message = vectors.encode(MATRIX)
    assert (message.rows, message.dim, message.element_type) == (2, 3, ELEMENT_TYPE_F32)
    np.testing.assert_array_equal(vectors.decode(message), MATRIX)


def test_half_precision_takes_half_the_bytes() -> None:
    message = vectors.encode(MATRIX, half=True)
    assert message.element_type == ELEMENT_TYPE_F16
    assert len(message.data) == 2 * 3 * 2
    np.testing.assert_allclose(vectors.decode(message), MATRIX, atol=1e-3)


def test_any_layout_in_memory_is_sent_row_after_row() -> None:
    np.testing.assert_array_equal(vectors.decode(vectors.encode(MATRIX.T)), MATRIX.T)


def test_no_rows_keep_their_dim() -> None:
    assert vectors.decode(vectors.encode(np.empty((0, 3), np.float32))).shape == (0, 3)


def test_a_decoded_array_is_no_copy() -> None:
    assert not vectors.decode(vectors.encode(MATRIX)).flags.writeable


def test_only_matrices_are_encoded() -> None:
    with pytest.raises(ValueError, match="shape"):
        vectors.encode(np.zeros(3, np.float32))


@pytest.mark.parametrize("data", [b"", b"\0" * 23, b"\0" * 25])
def test_a_wrong_length_is_noticed(data: bytes) -> None:
    with pytest.raises(CorruptDataError, match="24 were announced"):
        vectors.decode(Vectors(rows=2, dim=3, element_type=ELEMENT_TYPE_F32, data=data))


@pytest.mark.parametrize("kind", [0, 99])
def test_an_unknown_element_type_is_noticed(kind: ElementType.ValueType) -> None:
    with pytest.raises(CorruptDataError, match="does not know"):
        vectors.decode(Vectors(element_type=kind))


def test_the_checksum_is_the_one_that_the_contract_defines() -> None:
    by_hand = zlib.crc32(b"a\0\xc3\xa9\0" + np.array([0.5, 1], "<f4").tobytes() + b"data")
    assert vectors.checksum(["a", "é"], [0.5, 1], b"data") == by_hand


def answer(**changes: object) -> embedding.BatchGetEmbeddingsResponse:
    """Vectors of three users, the second of whom is unknown."""
    ok, unknown = embedding.EMBEDDING_STATUS_OK, embedding.EMBEDDING_STATUS_UNKNOWN_ID
    parts = {
        "statuses": [ok, unknown, ok],
        "vector_counts": [2, 0, 1],
        "vectors": vectors.encode(np.eye(3, dtype=np.float32)),
        "weights": [0.75, 0.25, 1],
        "model_version": "m7.12",
    }
    return embedding.BatchGetEmbeddingsResponse(**(parts | changes))  # type: ignore[arg-type]  # fields of several types


def test_a_batch_comes_as_arrays(client: PenchantClient, fake: "FakeServer") -> None:
    fake.answers("BatchGetEmbeddings", answer())
    batch = client.batch_get_embeddings("users", ["u1", "u2", "u3"], half=True)
    asked = fake.asked["BatchGetEmbeddings"][0]
    assert (asked.kind, list(asked.ids), asked.element_type) == (
        ENTITY_KIND_USER,
        ["u1", "u2", "u3"],
        ELEMENT_TYPE_F16,
    )
    assert batch.statuses[1] == embedding.EMBEDDING_STATUS_UNKNOWN_ID
    assert batch.counts.tolist() == [2, 0, 1]
    assert batch.weights.tolist() == [0.75, 0.25, 1]
    by_id = batch.by_id()
    assert list(by_id) == ["u1", "u3"]
    np.testing.assert_array_equal(by_id["u1"], np.eye(3)[:2])
    np.testing.assert_array_equal(by_id["u3"], np.eye(3)[2:])


def test_weights_are_one_where_the_answer_has_none(client: PenchantClient, fake: "FakeServer") -> None:
    fake.answers("BatchGetEmbeddings", answer(weights=[]))
    assert client.batch_get_embeddings("items", ["a", "b", "c"]).weights.tolist() == [1, 1, 1]


@pytest.mark.parametrize("changes", [{"statuses": [1]}, {"vector_counts": [1, 0, 1]}, {"weights": [1.0]}])
def test_parts_that_do_not_fit_together_are_noticed(
    changes: dict[str, object], client: PenchantClient, fake: "FakeServer"
) -> None:
    fake.answers("BatchGetEmbeddings", answer(**changes))
    with pytest.raises(CorruptDataError):
        client.batch_get_embeddings("users", ["u1", "u2", "u3"])
