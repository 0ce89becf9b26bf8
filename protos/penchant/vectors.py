"""Vectors as they travel (one flat piece of bytes) and as numpy arrays."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from penchant.errors import CorruptDataError
from penchant.v1.common_pb2 import ELEMENT_TYPE_F16, ELEMENT_TYPE_F32, ElementType, Vectors
from penchant.v1.embedding_pb2 import BatchGetEmbeddingsResponse, EmbeddingStatus, ExportEmbeddingsResponse

FloatArray = NDArray[np.floating[Any]]

_DTYPES: dict[int, np.dtype[Any]] = {ELEMENT_TYPE_F32: np.dtype("<f4"), ELEMENT_TYPE_F16: np.dtype("<f2")}


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Vectors of users, items or categories; a user has one per interest.

    Shapes: ids [n], counts [n], vectors [rows, dim] of length 1 each, weights [rows], where rows = counts.sum().
    """

    ids: Sequence[str]
    counts: NDArray[np.uint32]
    """Vectors of each id, in order of the ids."""
    vectors: FloatArray
    """float32, or float16 where half precision was asked for. Read-only: it is the memory of the message."""
    weights: NDArray[np.float32]
    """Share of each vector in its user, a user's add up to 1; 1 for items and categories."""
    vector_space: str
    """Vectors are comparable exactly where this is equal."""
    model_version: str
    """The revision that the vectors come from, such as "m7.12"."""
    as_of: datetime
    """The revision, or an export of users, knows events that occurred before this."""

    @property
    def origin(self) -> str:
        """What they are of, in words: equal exactly where vectors belong together."""
        return f"{self.model_version} in {self.vector_space} as of {self.as_of}"

    def by_id(self) -> dict[str, FloatArray]:
        """Vectors [count, dim] of each id that has any."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        return {
            name: self.vectors[end - count : end]
            for name, count, end in zip(self.ids, self.counts, ends, strict=True)
            if count
        }


@dataclass(frozen=True, slots=True)
class EmbeddingBatch(Embeddings):
    """Answer of BatchGetEmbeddings."""

    statuses: Sequence[EmbeddingStatus.ValueType]
    """Whether each id has vectors, in order of the ids."""


@dataclass(frozen=True, slots=True)
class EmbeddingChunk(Embeddings):
    """One chunk of ExportEmbeddings."""

    resume_token: str
    """Where to go on after this chunk."""
    total_ids: int
    """Ids in the whole export."""


def encode(vectors: FloatArray, *, half: bool = False) -> Vectors:
    """The message for `vectors` [rows, dim]; `half` rounds to float16. ValueError where it is no matrix."""
    message = Vectors()
    write(vectors, message, half=half)
    return message


def write(vectors: FloatArray, message: Vectors, *, half: bool = False) -> bytes:
    """The same into the message of an answer, which else would copy it; the bytes that it holds then."""
    if vectors.ndim != 2:
        raise ValueError(f"vectors must have the shape [rows, dim], not {vectors.shape}")
    message.element_type = ELEMENT_TYPE_F16 if half else ELEMENT_TYPE_F32
    message.rows, message.dim = vectors.shape
    data = np.ascontiguousarray(vectors, _DTYPES[message.element_type]).tobytes()
    message.data = data
    return data


def decode(message: Vectors) -> FloatArray:
    """The array [rows, dim] in `message`, read-only and without a copy. CorruptDataError where its length is wrong."""
    dtype = _DTYPES.get(message.element_type)
    if dtype is None:
        name = _name(message.element_type)
        raise CorruptDataError(f"Vectors of element type {name}, which this client does not know: upgrade it.")
    expected = message.rows * message.dim * dtype.itemsize
    if len(message.data) != expected:
        shape = f"{message.rows} × {message.dim} × {dtype.itemsize}"
        raise CorruptDataError(f"Vectors of {len(message.data)} bytes, but {shape} = {expected} were announced.")
    return np.frombuffer(message.data, dtype).reshape(message.rows, message.dim)


def checksum(ids: Sequence[str], weights: Sequence[float], data: bytes) -> int:
    """CRC-32 of an export's chunk, as `ExportEmbeddingsResponse.checksum` defines it."""
    names = "\0".join([*ids, ""]).encode()  # a zero behind each
    return zlib.crc32(data, zlib.crc32(np.asarray(weights, "<f4").tobytes(), zlib.crc32(names)))


def batch_from(ids: Sequence[str], answer: BatchGetEmbeddingsResponse) -> EmbeddingBatch:
    """The answer for `ids` as arrays. CorruptDataError where its parts do not fit together."""
    vectors, counts, weights = _columns(len(ids), answer)
    if len(answer.statuses) != len(ids):
        raise CorruptDataError(f"{len(answer.statuses)} statuses for {len(ids)} ids.")
    return EmbeddingBatch(
        ids=list(ids),
        counts=counts,
        vectors=vectors,
        weights=weights,
        vector_space=answer.vector_space,
        model_version=answer.model_version,
        as_of=answer.as_of.ToDatetime(tzinfo=UTC),
        statuses=list(answer.statuses),
    )


def chunk_from(message: ExportEmbeddingsResponse) -> EmbeddingChunk:
    """The chunk as arrays. CorruptDataError where its checksum is wrong or its parts do not fit together."""
    if checksum(message.ids, message.weights, message.vectors.data) != message.checksum:
        raise CorruptDataError("A chunk of an export has the wrong checksum.")
    vectors, counts, weights = _columns(len(message.ids), message)
    return EmbeddingChunk(
        ids=list(message.ids),
        counts=counts,
        vectors=vectors,
        weights=weights,
        vector_space=message.vector_space,
        model_version=message.model_version,
        as_of=message.as_of.ToDatetime(tzinfo=UTC),
        resume_token=message.resume_token,
        total_ids=message.total_ids,
    )


def _columns(
    n_ids: int, message: BatchGetEmbeddingsResponse | ExportEmbeddingsResponse
) -> tuple[FloatArray, NDArray[np.uint32], NDArray[np.float32]]:
    vectors = decode(message.vectors)
    rows = len(vectors)
    counts = np.array(message.vector_counts or [1] * n_ids, np.uint32)
    weights = np.array(message.weights or [1.0] * rows, np.float32)
    if len(counts) != n_ids or int(counts.sum()) != rows or len(weights) != rows:
        raise CorruptDataError(f"{len(counts)} counts and {len(weights)} weights for {n_ids} ids and {rows} vectors.")
    return vectors, counts, weights


def _name(element_type: int) -> str:
    return ElementType.Name(ElementType.ValueType(element_type)) if element_type in ElementType.values() else "?"
