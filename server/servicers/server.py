"""ServerService: what this server is and what it takes."""

from importlib.metadata import PackageNotFoundError, version

import grpc
from penchant.v1 import server_pb2 as pb
from penchant.v1.server_pb2_grpc import ServerServiceServicer

from graph.storage.database import Database
from graph.storage.errors import ArtifactError
from graph.storage.times import now_us
from server import limits
from server.convert import timestamp
from server.reload import Models

NUMBERS = {name.lower(): number for name, number in vars(limits).items() if name.startswith(("MAX_", "DEFAULT_"))}
LIMITS = pb.Limits(**NUMBERS)
"""One that the contract lacks is noticed when this file is imported."""


class ServerServicer(ServerServiceServicer):
    def __init__(self, database: Database, models: Models) -> None:
        self._models = models
        self._schema = database.schema_revision() or ""
        self._version = installed_version()

    def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServerInfoResponse:
        answer = pb.GetServerInfoResponse(
            server_version=self._version,
            api="penchant.v1",
            limits=LIMITS,
            schema_revision=self._schema,
            now=timestamp(now_us()),
            labels=[
                pb.ServedLabel(label=each.name, version=str(each.version), share=each.share)
                for each in self._models.labels
            ],
            problem=self._models.problem,
        )
        try:
            manifest = self._models.current().revision.artifact.manifest
        except ArtifactError:
            return answer
        answer.model_version = manifest.version
        answer.as_of.CopyFrom(timestamp(manifest.as_of))
        answer.vector_space = manifest.vector_space
        answer.dim = manifest.dim
        return answer


def installed_version() -> str:
    try:
        return version("penchant")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "unknown"
