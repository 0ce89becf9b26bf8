"""ModelService: which models there are, and which revision answers."""

import math
from collections.abc import Sequence
from itertools import groupby

import grpc
from penchant.v1 import model_pb2 as pb
from penchant.v1.model_pb2_grpc import ModelServiceServicer

from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.registry import Revision, active_revision, parse_version, revisions, rollback
from server import limits
from server.convert import struct, timestamp
from server.tokens import Place, decode, encode
from training.config import NetConfig
from training.promotion import promote

Context = grpc.ServicerContext

DEFAULT_PAGE, SHOWN_REVISIONS = 20, 100


class ModelServicer(ModelServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        size = limits.check_page_size(request.page_size, DEFAULT_PAGE, limits.MAX_MODELS_PAGE_SIZE)
        below = decode(request.page_token, "models").position if request.page_token else math.inf
        active = self._active()
        numbers = _by_model(revisions(self._database))
        page = [number for number in numbers if number < below]
        more = len(page) > size
        page = page[:size]
        return pb.ListModelsResponse(
            models=[_message(number, numbers[number], active) for number in page],
            next_page_token=encode(Place(str(page[-1])), "models") if more else "",
            active_version=active,
        )

    def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        limits.check_id(request.model, "model")
        for number, of_model in _by_model(revisions(self._database)).items():
            if f"m{number}" == request.model:
                return pb.GetModelResponse(model=_message(number, of_model, self._active()))
        raise NotFoundError(
            f"There is no model {request.model!r}.", hint="ListModels lists them.", reason="UNKNOWN_MODEL"
        )

    def ActivateModel(self, request: pb.ActivateModelRequest, context: Context) -> pb.ActivateModelResponse:
        limits.check_text(request.reason, "reason")
        if request.force and not request.reason:
            raise BadInputError("force needs a reason, for the record.", field="reason", reason="REASON_REQUIRED")
        version = parse_version(limits.check_id(request.version, "version"))
        before = self._active()
        promote(self._database, version, force=request.force, reason=request.reason or None)
        return pb.ActivateModelResponse(active_version=str(version), previous_version=before)

    def RollbackModel(self, request: pb.RollbackModelRequest, context: Context) -> pb.RollbackModelResponse:
        limits.check_text(request.reason, "reason")
        limits.check_text(request.from_version, "from_version", limits.MAX_ID_BYTES)
        before = self._active()
        after = str(rollback(self._database, reason=request.reason or None, leaving=request.from_version).version)
        return pb.RollbackModelResponse(active_version=after, previous_version=before)

    def _active(self) -> str:
        active = active_revision(self._database)
        return str(active.version) if active else ""


def _by_model(known: Sequence[Revision]) -> dict[int, list[Revision]]:
    """Revisions by the number of their model, both newest first."""
    newest_first = sorted(known, key=lambda revision: revision.version, reverse=True)
    return {number: list(group) for number, group in groupby(newest_first, key=lambda revision: revision.version.model)}


def _message(number: int, newest_first: Sequence[Revision], active: str) -> pb.Model:
    first = newest_first[-1]
    return pb.Model(
        id=f"m{number}",
        vector_space=first.vector_space,
        dim=NetConfig.model_construct(**first.config.get("net", {})).vector_dim,
        trained_at=timestamp(first.created_at),
        config=struct(first.config),
        revisions=[_revision(each, active) for each in newest_first[:SHOWN_REVISIONS]],
    )


def _revision(revision: Revision, active: str) -> pb.ModelRevision:
    metrics = {name: float(value) for name, value in revision.metrics.items()}
    return pb.ModelRevision(
        version=str(revision.version),
        active=str(revision.version) == active,
        as_of=timestamp(revision.as_of),
        known_at=timestamp(revision.known_at),
        published_at=timestamp(revision.created_at),
        metrics={name: value for name, value in metrics.items() if math.isfinite(value)},
    )
