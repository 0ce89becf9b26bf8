"""ModelService: which models there are, which revision answers, and whom a label takes."""

import math
from collections.abc import Sequence
from itertools import groupby

import grpc
from penchant.v1 import model_pb2 as pb
from penchant.v1.model_pb2_grpc import ModelServiceServicer

from graph.storage.database import Database
from graph.storage.errors import BadInputError, NotFoundError
from graph.storage.labels import STABLE, labels, remove_label, set_label
from graph.storage.registry import Revision, activations, active_revision, parse_version, revisions, rollback
from server import limits
from server.convert import timestamp
from server.servicers.model_messages import Said, check_message, label_message, model_message
from server.tokens import Place, decode, encode
from training.promotion import promote

Context = grpc.ServicerContext

DEFAULT_PAGE = 20


class ModelServicer(ModelServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        size = limits.check_page_size(request.page_size, DEFAULT_PAGE, limits.MAX_MODELS_PAGE_SIZE)
        below = decode(request.page_token, "models").position if request.page_token else math.inf
        numbers, said = _by_model(revisions(self._database)), Said.of(self._database)
        page = [number for number in numbers if number < below]
        more = len(page) > size
        page = page[:size]
        return pb.ListModelsResponse(
            models=[model_message(number, numbers[number], said) for number in page],
            next_page_token=encode(Place(str(page[-1])), "models") if more else "",
            active_version=said.active,
        )

    def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        limits.check_id(request.model, "model")
        for number, of_model in _by_model(revisions(self._database)).items():
            if f"m{number}" == request.model:
                return pb.GetModelResponse(model=model_message(number, of_model, Said.of(self._database)))
        raise NotFoundError(
            f"There is no model {request.model!r}.", hint="ListModels lists them.", reason="UNKNOWN_MODEL"
        )

    def ActivateModel(self, request: pb.ActivateModelRequest, context: Context) -> pb.ActivateModelResponse:
        limits.check_text(request.reason, "reason")
        if request.force and not request.reason:
            raise BadInputError("force needs a reason, for the record.", field="reason", reason="REASON_REQUIRED")
        version = parse_version(limits.check_id(request.version, "version"))
        before = self._active()
        gate = promote(self._database, version, force=request.force, reason=request.reason or None)
        return pb.ActivateModelResponse(
            active_version=str(version), previous_version=before, checks=[check_message(each) for each in gate.checks]
        )

    def RollbackModel(self, request: pb.RollbackModelRequest, context: Context) -> pb.RollbackModelResponse:
        limits.check_text(request.reason, "reason")
        limits.check_text(request.from_version, "from_version", limits.MAX_ID_BYTES)
        before = self._active()
        after = str(rollback(self._database, reason=request.reason or None, leaving=request.from_version).version)
        return pb.RollbackModelResponse(active_version=after, previous_version=before)

    def ListLabels(self, request: pb.ListLabelsRequest, context: Context) -> pb.ListLabelsResponse:
        named = labels(self._database)
        stable = pb.Label(name=STABLE, version=self._active(), share=max(0.0, 1 - sum(each.share for each in named)))
        newest = activations(self._database)[-1:]
        if newest:
            stable.set_at.CopyFrom(timestamp(newest[0].activated_at))
        return pb.ListLabelsResponse(labels=[stable, *map(label_message, named)])

    def SetLabel(self, request: pb.SetLabelRequest, context: Context) -> pb.SetLabelResponse:
        limits.check_text(request.label, "label")
        version = parse_version(limits.check_id(request.version, "version"))
        found = set_label(self._database, request.label, version, share=request.share)
        return pb.SetLabelResponse(label=label_message(found))

    def DeleteLabel(self, request: pb.DeleteLabelRequest, context: Context) -> pb.DeleteLabelResponse:
        limits.check_text(request.label, "label")
        return pb.DeleteLabelResponse(existed=remove_label(self._database, request.label))

    def _active(self) -> str:
        active = active_revision(self._database)
        return str(active.version) if active else ""


def _by_model(known: Sequence[Revision]) -> dict[int, list[Revision]]:
    """Revisions by the number of their model, both newest first."""
    newest_first = sorted(known, key=lambda revision: revision.version, reverse=True)
    return {number: list(group) for number, group in groupby(newest_first, key=lambda revision: revision.version.model)}
