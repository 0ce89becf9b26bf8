"""SimilarityService: what is near to what, by the cosine of the net's vectors."""

import asyncio
from concurrent.futures import Executor
from typing import TYPE_CHECKING

import numpy as np
from penchant.v1 import common_pb2 as common
from penchant.v1 import similarity_pb2 as pb
from penchant.v1.similarity_pb2_grpc import SimilarityServiceServicer

from graph.arrays import Float32s
from graph.storage.errors import BadInputError, ConflictError, NotFoundError
from server import limits
from server.convert import timestamp
from server.engine import Engine, Kind, Past
from server.reload import Models
from server.servicers.filters import read_filter

if TYPE_CHECKING:
    from server.border import Context

KINDS: dict[int, Kind] = {
    common.ENTITY_KIND_USER: "user",
    common.ENTITY_KIND_ITEM: "item",
    common.ENTITY_KIND_CATEGORY: "category",
}


class SimilarityServicer(SimilarityServiceServicer):
    """What has to wait for the store, or to compare with all that a filter lets through, does so in `threads`."""

    def __init__(self, models: Models, threads: Executor) -> None:
        self._models = models
        self._threads = threads

    async def FindSimilar(self, request: pb.FindSimilarRequest, context: "Context") -> pb.FindSimilarResponse:
        if request.WhichOneof("source") == "user" or request.HasField("filter"):
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._find, request)
        return self._find(request)

    def _find(self, request: pb.FindSimilarRequest) -> pb.FindSimilarResponse:
        target = read_kind(request.target, "target")
        k = limits.check_k(request.k)
        is_of_user = request.WhichOneof("source") == "user"
        engine = self._models.of_user(request.user) if is_of_user else self._models.current()
        artifact = engine.revision.artifact
        past, own, vectors = _source(engine, request)
        allowed = None
        if target == "item":
            allowed = engine.allowed(read_filter(request), past)
        elif request.HasField("filter"):
            message = "filter chooses items, so the target must be items."
            raise BadInputError(message, field="filter", reason="FILTER_WITHOUT_ITEMS")
        leave_out = own if request.WhichOneof("source") == target else -1
        found, cosines = engine.similar(target, vectors, k, leave_out=leave_out, allowed=allowed)
        answer = pb.FindSimilarResponse(
            vector_space=artifact.manifest.vector_space,
            model_version=artifact.version,
            as_of=timestamp(artifact.manifest.as_of),
            history_as_of=timestamp(past.as_of_us) if past else None,
        )
        for external, cosine in zip(engine.ids(target).externals_of(found), cosines.tolist(), strict=True):
            answer.neighbours.add(id=external, cosine=cosine)
        return answer


def read_kind(value: int, field: str) -> Kind:
    if value not in KINDS:
        message = f"{field} must be ENTITY_KIND_USER, ENTITY_KIND_ITEM or ENTITY_KIND_CATEGORY."
        raise BadInputError(message, field=field, reason="UNKNOWN_ENTITY_KIND")
    return KINDS[value]


def _source(engine: Engine, request: pb.FindSimilarRequest) -> tuple[Past | None, int, Float32s]:
    """The user's past if a user is the source, the source's own index (-1: none) and its vectors [Q, dim]."""
    source = request.WhichOneof("source")
    if source == "user":
        limits.check_id(request.user, "user")
        past = engine.past([request.user])
        vectors, _ = engine.user_vectors(past)
        present = vectors[0][vectors[0].any(axis=1)]
        if not len(present):
            raise NotFoundError(
                f"The user {request.user!r} has no events with items that the revision knows, so no vector.",
                hint="Recommend answers such users from popularity.",
                reason="NO_VECTOR",
            )
        return past, int(engine.ids("user").index_of([request.user])[0]), present
    if source == "item":
        return None, *engine.vector_of("item", limits.check_id(request.item, "item"))
    if source == "category":
        return None, *engine.vector_of("category", limits.check_id(request.category, "category"))
    if source == "vector":
        return None, -1, _own_vector(engine, request.vector)
    message = "One of user, item, category or vector is required."
    raise BadInputError(message, field="source", reason="NO_SOURCE")


def _own_vector(engine: Engine, query: pb.QueryVector) -> Float32s:
    manifest = engine.revision.artifact.manifest
    if not query.vector_space:
        message = "vector.vector_space is required: vectors of different spaces cannot be compared."
        raise BadInputError(message, field="vector.vector_space", reason="NO_VECTOR_SPACE")
    if query.vector_space != manifest.vector_space:
        raise ConflictError(
            f"The vector belongs to {query.vector_space!r}, revision {manifest.version} to {manifest.vector_space!r}.",
            hint="Export the vectors again.",
            reason="VECTOR_SPACE_MISMATCH",
        )
    values = np.array(query.values, np.float32)
    length = float(np.linalg.norm(values.astype(np.float64)))
    if len(values) != manifest.dim or not np.isfinite(length) or length == 0:
        message = f"vector.values must be {manifest.dim} finite numbers, not all zero."
        raise BadInputError(message, field="vector.values", reason="INVALID_VECTOR")
    return np.asarray(values / length, np.float32)[None]
