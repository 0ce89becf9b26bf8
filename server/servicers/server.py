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

LIMITS = pb.Limits(
    max_k=limits.MAX_K,
    max_score_items=limits.MAX_SCORE_ITEMS,
    max_events=limits.MAX_EVENTS,
    max_upserts=limits.MAX_UPSERTS,
    max_embedding_ids=limits.MAX_EMBEDDING_IDS,
    max_assign_users=limits.MAX_ASSIGN_USERS,
    max_page_size=limits.MAX_PAGE_SIZE,
    max_message_bytes=limits.MAX_MESSAGE_BYTES,
    max_id_bytes=limits.MAX_ID_BYTES,
    max_unacknowledged_batches=limits.MAX_UNACKNOWLEDGED_BATCHES,
    max_streams=limits.MAX_STREAMS,
)


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
