"""Wiring only: store, models, servicers, health and reflection become one gRPC server."""

from concurrent import futures
from dataclasses import dataclass

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from penchant.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    event_pb2,
    event_pb2_grpc,
    interest_pb2,
    interest_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    segment_pb2,
    segment_pb2_grpc,
    server_pb2,
    server_pb2_grpc,
    similarity_pb2,
    similarity_pb2_grpc,
)

from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.settings import Settings
from graph.storage.times import SECOND_US
from server.event_writer import EventWriter
from server.interceptors import Border
from server.limits import MAX_MESSAGE_BYTES, MAX_STREAMS
from server.reload import Models
from server.servicers.catalog import CatalogServicer
from server.servicers.embedding import EmbeddingServicer
from server.servicers.event import EventServicer
from server.servicers.event_stream import Streams
from server.servicers.interest import InterestServicer
from server.servicers.model import ModelServicer
from server.servicers.segment import SegmentServicer
from server.servicers.server import ServerServicer
from server.servicers.similarity import SimilarityServicer

CALLS_AT_ONCE = 16
"""Threads, beside those of the streams of events; tensor work runs outside of the interpreter's lock, so more than
cores are of use."""

_NEED_A_MODEL = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (interest_pb2, "InterestService"),
        (similarity_pb2, "SimilarityService"),
        (segment_pb2, "SegmentService"),
        (embedding_pb2, "EmbeddingService"),
    )
)
_ALWAYS = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (event_pb2, "EventService"),
        (catalog_pb2, "CatalogService"),
        (model_pb2, "ModelService"),
        (server_pb2, "ServerService"),
    )
)

_OPTIONS = (
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # Clients behind balancers ping more often than gRPC tolerates by default, and would be sent away.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client that vanished without a word would hold its stream's place for hours.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.so_reuseport", 0),
)


@dataclass
class App:
    """A started server. `port` is the one that was bound, also where 0 was asked for."""

    port: int
    _server: grpc.Server
    _models: Models
    _streams: Streams
    _writer: EventWriter
    _database: Database
    _health: health.HealthServicer

    def stop(self, grace_s: float) -> None:
        """Takes no new calls, lets calls in flight finish for up to `grace_s` seconds, then closes the store.

        Streams of events would go on for ever: they are told to end once what they have is acknowledged.
        """
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace_s)
        self._streams.stop()
        stopped.wait()
        self._writer.stop()
        self._models.stop()
        self._database.close()


def start(settings: Settings) -> App:
    """Raises SchemaError for a database that this version cannot run on, BadInputError for an unusable address."""
    database = Database(settings.database_url)
    try:
        return _start(settings, database)
    except BaseException:
        database.close()
        raise


def _start(settings: Settings, database: Database) -> App:
    database.require_schema()
    status = health.HealthServicer()
    models = Models(database, settings.artifacts, on_ready=lambda: _report(status, ready=True))
    writer = EventWriter(
        database,
        unknown_items=settings.unknown_items,
        clock_tolerance_us=round(settings.clock_tolerance_s * SECOND_US),
    )
    streams = Streams(writer)
    threads = futures.ThreadPoolExecutor(CALLS_AT_ONCE + MAX_STREAMS, thread_name_prefix="call")
    server = grpc.server(threads, interceptors=[Border()], options=_OPTIONS)
    _add_services(server, database, models, EventServicer(writer, streams))
    health_pb2_grpc.add_HealthServicer_to_server(status, server)
    names = (*_NEED_A_MODEL, *_ALWAYS, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(names, server)
    _report(status, ready=False)
    try:
        port = server.add_insecure_port(settings.listen)
    except RuntimeError as error:
        raise BadInputError(
            f"Cannot listen on {settings.listen}.", hint="Is it taken by another server? Choose one with --listen."
        ) from error
    writer.start()
    models.start()
    server.start()
    return App(port, server, models, streams, writer, database, status)


def _add_services(server: grpc.Server, database: Database, models: Models, events: EventServicer) -> None:
    engine = models.current
    interest_pb2_grpc.add_InterestServiceServicer_to_server(InterestServicer(engine), server)
    similarity_pb2_grpc.add_SimilarityServiceServicer_to_server(SimilarityServicer(engine), server)
    segment_pb2_grpc.add_SegmentServiceServicer_to_server(SegmentServicer(models), server)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(models), server)
    event_pb2_grpc.add_EventServiceServicer_to_server(events, server)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(CatalogServicer(database), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(database), server)
    server_pb2_grpc.add_ServerServiceServicer_to_server(ServerServicer(database, models), server)


def _report(status: health.HealthServicer, ready: bool) -> None:
    """SERVING only once a model is loaded; what needs none serves at once."""
    serving, waiting = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    for name in ("", *_NEED_A_MODEL):
        status.set(name, serving if ready else waiting)
    for name in (*_ALWAYS, health.SERVICE_NAME):
        status.set(name, serving)
