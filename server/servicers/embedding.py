"""EmbeddingService: the net's vectors, a few by name or all as a stream that can be resumed."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import grpc
import numpy as np
from penchant.v1 import embedding_pb2 as pb
from penchant.v1.embedding_pb2_grpc import EmbeddingServiceServicer
from penchant.vectors import checksum, write

from graph.arrays import Bools, Float32s
from graph.storage.errors import BadInputError
from graph.storage.times import now_us
from graph.storage.users import count_users, list_users
from server import limits, tokens
from server.convert import timestamp, wants_half
from server.engine import Engine, Kind
from server.reload import Models
from server.servicers.similarity import read_kind
from server.tokens import Place

if TYPE_CHECKING:
    from server.border import Context

CHUNK_BYTES = 512 * 1_024
"""Chunks of 0.25 to 1 MB stream fastest; smaller ones pay per message, larger ones in memory."""
CHUNK_IDS = 4_096
"""Where vectors are narrow the ids are what fills a message."""
USERS_PER_READ = 500


@dataclass(frozen=True)
class Part:
    """`vectors` [rows, dim] of `ids`; of users also how many each has (`counts`) and the weight of each row."""

    ids: list[str]
    vectors: Float32s
    counts: list[int]
    weights: list[float]


class EmbeddingServicer(EmbeddingServiceServicer):
    """Users are read from the store, which is done in `threads`."""

    def __init__(self, models: Models, threads: Executor) -> None:
        self._models = models
        self._threads = threads

    async def BatchGetEmbeddings(
        self, request: pb.BatchGetEmbeddingsRequest, context: "Context"
    ) -> pb.BatchGetEmbeddingsResponse:
        kind = read_kind(request.kind, "kind")
        if kind == "user":
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._few, request, kind)
        return self._few(request, kind)

    def _few(self, request: pb.BatchGetEmbeddingsRequest, kind: Kind) -> pb.BatchGetEmbeddingsResponse:
        half = wants_half(request.element_type)
        limits.check_count(request.ids, "ids", limits.MAX_EMBEDDING_IDS)
        ids = list(request.ids)
        engine = self._models.current()
        manifest = engine.revision.artifact.manifest
        answer = pb.BatchGetEmbeddingsResponse(
            vector_space=manifest.vector_space, model_version=manifest.version, as_of=timestamp(manifest.as_of)
        )
        if kind == "user":
            past = engine.past(limits.check_ids(ids, "ids"))
            answer.history_as_of.CopyFrom(timestamp(past.as_of_us))
            vectors, weights = engine.user_vectors(past)
            present = np.asarray(vectors.any(axis=2))
            counts = present.sum(axis=1)
            answer.statuses.extend(map(_status, past.is_known.tolist(), (counts > 0).tolist()))
            answer.vector_counts.extend(counts.tolist())
            answer.weights.extend(weights[present].tolist())
            vectors = vectors[present]
        else:
            index = engine.ids(kind).index_of(ids)
            limits.check_unknown(ids, index >= 0, "ids")
            present = (index >= 0) & engine.has_vector(kind)[index]
            vectors = engine.vectors(kind).take(index[present], axis=0)
            newer = engine.live.newer_items if kind == "item" else engine.live.newer_categories
            answer.statuses.extend(_statuses(ids, index >= 0, present, newer))
            answer.vector_counts.extend(present.astype(np.uint32).tolist())
        _check_size(vectors.size * (2 if half else 4), len(ids))
        write(vectors, answer.vectors, half=half)
        return answer

    def ExportEmbeddings(  # type: ignore[override]  # None is for the border, which sends it to nobody
        self, request: pb.ExportEmbeddingsRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.ExportEmbeddingsResponse | None]:
        kind = read_kind(request.kind, "kind")
        half = wants_half(request.element_type)
        asked = ("export", kind, half)
        if request.resume_token:
            place = tokens.decode(request.resume_token, asked, "resume_token")
            engine = self._models.at(place.version)
        else:
            engine = self._models.current()
            place = _begin(engine, kind)
        manifest = engine.revision.artifact.manifest
        rows = min(CHUNK_IDS, max(1, CHUNK_BYTES // (manifest.dim * (2 if half else 4))))
        parts: Iterator[Part | None]
        parts = _of_users(engine, place, rows) if kind == "user" else _of_revision(engine, kind, place.last, rows)
        is_first = not request.resume_token
        for part in parts if not is_first else _at_least_one(parts, manifest.dim):
            if part is None:
                yield None
                continue
            last = part.ids[-1] if part.ids else place.last
            answer = pb.ExportEmbeddingsResponse(
                ids=part.ids,
                vector_counts=part.counts,
                weights=part.weights,
                resume_token=tokens.encode(Place(last, place.version, place.as_of_us, place.total), asked),
                total_ids=place.total,
                vector_space=manifest.vector_space,
                model_version=manifest.version,
                as_of=timestamp(place.as_of_us),
            )
            sent = write(part.vectors, answer.vectors, half=half)
            answer.checksum = checksum(part.ids, part.weights, sent)
            yield answer


def _statuses(
    ids: list[str], known: Bools, present: Bools, newer: frozenset[str]
) -> "Iterable[pb.EmbeddingStatus.ValueType]":
    if present.all():
        return [pb.EMBEDDING_STATUS_OK] * len(ids)
    return (
        pb.EMBEDDING_STATUS_NOT_IN_REVISION if value in newer else _status(is_known, has_vector)
        for value, is_known, has_vector in zip(ids, known.tolist(), present.tolist(), strict=True)
    )


def _status(is_known: bool, has_vector: bool) -> pb.EmbeddingStatus.ValueType:
    if not is_known:
        return pb.EMBEDDING_STATUS_UNKNOWN_ID
    return pb.EMBEDDING_STATUS_OK if has_vector else pb.EMBEDDING_STATUS_EMPTY


def _check_size(n_bytes: int, n_ids: int) -> None:
    if n_bytes > limits.MAX_MESSAGE_BYTES // 2:
        fit = n_ids * (limits.MAX_MESSAGE_BYTES // 2) // n_bytes
        raise BadInputError(
            f"The vectors of {n_ids} ids do not fit into one message.",
            hint=f"Ask for {fit} at a time, for half precision, or export them.",
            field="ids",
            reason="ANSWER_TOO_LARGE",
        )


def _begin(engine: Engine, kind: Literal["user", "item", "category"]) -> Place:
    """Fixes what an export is of: the revision, the moment, and how many ids there are."""
    if kind == "user":
        as_of = now_us()
        return Place("", engine.revision.version, as_of, count_users(engine.database, active_before=as_of))
    as_of = engine.revision.artifact.manifest.as_of
    return Place("", engine.revision.version, as_of, len(engine.exportable(kind)))


def _of_revision(engine: Engine, kind: Literal["item", "category"], last: str, rows: int) -> Iterator[Part]:
    """Vectors of the revision, `rows` at a time, ids above `last` in the order of their UTF-8 bytes."""
    vectors, order, ids = engine.vectors(kind), engine.exportable(kind), engine.ids(kind)

    def name(index: np.int64) -> bytes:
        return ids.externals_of(np.array([index]))[0].encode()

    start = bisect_right(order, last.encode(), key=name) if last else 0
    for begin in range(start, len(order), rows):
        part = order[begin : begin + rows]
        yield Part(ids.externals_of(part), vectors.take(part, axis=0), [], [])


def _of_users(engine: Engine, place: Place, rows: int) -> Iterator[Part | None]:
    """Vectors of all users as of the export's moment, `rows` or a few more at a time; None after a read that did not
    fill a part: users without vectors may be many."""
    last = place.last
    ids: list[str] = []
    counts: list[int] = []
    weights: list[float] = []
    found: list[Float32s] = []
    while users := [user.user for user in list_users(engine.database, after=last, limit=USERS_PER_READ)]:
        last = users[-1]
        vectors, shares = engine.user_vectors(engine.past(users, as_of_us=place.as_of_us))
        present = vectors.any(axis=2)
        per_user = present.sum(axis=1).tolist()
        ids += [user for user, count in zip(users, per_user, strict=True) if count]
        counts += [count for count in per_user if count]
        weights += shares[present].tolist()
        found.append(vectors[present])
        if len(weights) >= rows:
            yield Part(ids, np.concatenate(found), counts, weights)
            ids, counts, weights, found = [], [], [], []
        else:
            yield None
    if ids:
        yield Part(ids, np.concatenate(found), counts, weights)


def _at_least_one(parts: Iterator[Part | None], dim: int) -> Iterator[Part | None]:
    """Even an export of nothing says which revision it is of."""
    is_empty = True
    for part in parts:
        is_empty = is_empty and part is None
        yield part
    if is_empty:
        yield Part([], np.zeros((0, dim), np.float32), [], [])
