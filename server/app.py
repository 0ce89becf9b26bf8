"""Wiring only: store, models, servicers, health and reflection become one gRPC server."""

import asyncio
from collections.abc import Callable
from concurrent import futures
from functools import partial
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
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
from server.auth.guard import guard_of
from server.border import Rpcs
from server.event_loop import EventLoop
from server.event_writer import EventWriter
from server.exposure import check_exposure, warn_of_open_files
from server.known_users import KnownUsers
from server.limits import MAX_MESSAGE_BYTES
from server.owner.ask import NetOwner
from server.reload import Models
from server.servicers.catalog import CatalogServicer
from server.servicers.embedding import EmbeddingServicer
from server.servicers.event import EventServicer
from server.servicers.event_stream import Streams
from server.servicers.interest import InterestServicer, answer_together
from server.servicers.model import ModelServicer
from server.servicers.segment import SegmentServicer
from server.servicers.server import ServerServicer, installed_version
from server.servicers.similarity import SimilarityServicer
from server.tls import credentials_of
from server.user_feed import UserFeed
from server.watch.state import State
from server.watch.threads import ContextThreads
from server.watch.vitals import Vitals
from server.watch.watch import Watch
from training.fast.answer import BATCH

CALLS_AT_ONCE = 16
"""Threads for what waits for the store or computes for long, outside of the interpreter's lock: more than cores are of
use."""

STORE_PATIENCE_MS = 8_000
"""Callers wait for ten seconds by default: they are told that the store is away before that, and may try again."""

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
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A client that vanished without a word would hold its stream's place for hours.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class App:
    """A started server. `port` is the one that was bound, also where 0 was asked for."""

    def __init__(
        self, settings: Settings, database: Database, *, share_port: bool = False, owner: Path | None = None
    ) -> None:
        self._database = database
        self._is_stopped = False
        self._watch = Watch(settings, installed_version())
        self._loop = EventLoop()
        self._threads = ContextThreads(CALLS_AT_ONCE, thread_name_prefix="call")
        self._health = health.aio.HealthServicer()
        self._owner = NetOwner(owner) if owner else None
        self._models = Models(database, settings.artifacts, lambda: self._report(ready=True), self._owner)
        self._known = KnownUsers(most_bytes=settings.known_users_mib << 20)
        self._feed = UserFeed(database, self._known)
        self._writer = EventWriter(
            database,
            unknown_items=settings.unknown_items,
            clock_tolerance_us=round(settings.clock_tolerance_s * SECOND_US),
            on_written=self._known.forget,
            count=self._watch.count_events,
        )
        self._streams = Streams(self._writer, self._threads)
        answer = partial(answer_together, self._known)
        self._batches = self._watch.batches(answer, most=BATCH, patience_s=settings.patience_ms / 1_000)
        try:
            self._server, self.port = self._loop.run(self._build(settings, share_port))
            state = State(
                self._models, database, self._known, lambda: self._batches.waiting, self._loop.delay_s, self._owner
            )
            self._watch.bind(state, self._vitals(), self._models)
        except BaseException:
            self._loop.close()
            raise
        self._report(ready=False)
        self._writer.start()
        self._batches.start()
        self._feed.start()
        self._models.start()
        self._loop.run(self._server.start())
        self._watch.start()

    async def _build(self, settings: Settings, share_port: bool) -> tuple[grpc.aio.Server, int]:
        """A server belongs to the loop in which it is made."""
        rpcs: Any = Rpcs(self._threads, self._watch.calls, guard_of(settings))
        interest = InterestServicer(self._models.of_user, self._known, self._batches.ask, self._threads)
        events = EventServicer(self._writer, self._streams, self._threads)
        _add_services(rpcs, self._threads, self._database, self._models, interest, events)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, rpcs)
        names = (*_NEED_A_MODEL, *_ALWAYS, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]  # it has no types
            reflection.aio.ReflectionServicer(names), rpcs
        )
        server = grpc.aio.server(handlers=[rpcs], options=(*_OPTIONS, ("grpc.so_reuseport", int(share_port))))
        credentials, listen = credentials_of(settings), settings.listen
        try:
            if credentials is None:
                return server, server.add_insecure_port(listen)
            return server, server.add_secure_port(listen, credentials)
        except RuntimeError as error:
            raise BadInputError(
                f"Cannot listen on {listen}.", hint="Is it taken by another server? Choose one with --listen."
            ) from error

    def stop(self, grace_s: float) -> None:
        """Takes no new calls, lets calls in flight finish for up to `grace_s` seconds, then closes the store. Once is
        enough, more does no harm."""
        if self._is_stopped:
            return
        self._is_stopped = True
        self._loop.run(self._stop(grace_s))
        self._watch.stop()
        self._writer.stop()
        self._batches.stop()
        self._models.stop()
        self._feed.stop()
        self._threads.shutdown()  # before the loop, which is told when their work is done
        self._loop.close()
        if self._owner:
            self._owner.close()
        self._database.close()

    async def _stop(self, grace_s: float) -> None:
        """Streams of events would go on for ever: they are told to end once what they have is acknowledged."""
        await self._health.enter_graceful_shutdown()
        stopped = asyncio.ensure_future(self._server.stop(grace_s))
        await asyncio.sleep(0)  # so that no new stream is opened after the others were told
        self._streams.stop()
        await stopped

    @property
    def watch_port(self) -> int:
        """Of the address for metrics and probes, 0 where there is none."""
        return self._watch.port

    def _vitals(self) -> Vitals:
        threads: dict[str, Callable[[], bool]] = {
            "batches": lambda: self._batches.is_alive,
            "events": lambda: self._writer.is_alive,
            "changes": lambda: self._models.is_alive,
            "users": lambda: self._feed.is_alive,
        }
        return Vitals(self._loop, threads, self._models, self._known.feed_silent_s, lambda: self._is_stopped)

    def _report(self, ready: bool) -> None:
        """SERVING only once a model is loaded; what needs none serves at once."""
        serving, waiting = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        states = dict.fromkeys(("", *_NEED_A_MODEL), serving if ready else waiting)
        states |= dict.fromkeys((*_ALWAYS, health.SERVICE_NAME), serving)

        async def report() -> None:
            for name, state in states.items():
                await self._health.set(name, state)

        self._loop.run(report())


def start(settings: Settings, *, share_port: bool = False, owner: Path | None = None) -> App:
    """owner: the socket of the process that owns the device.

    Raises SchemaError for a database that this version cannot run on, and BadInputError for settings that cannot be
    used (address, keys, certificates) or would open the server to strangers."""
    check_exposure(settings)
    database = Database(settings.database_url, patience_ms=STORE_PATIENCE_MS)
    try:
        database.require_schema()
        app = App(settings, database, share_port=share_port, owner=owner)
        warn_of_open_files(settings)
        return app
    except BaseException:
        database.close()
        raise


def _add_services(
    server: Any,
    threads: futures.Executor,
    database: Database,
    models: Models,
    interest: InterestServicer,
    events: EventServicer,
) -> None:
    interest_pb2_grpc.add_InterestServiceServicer_to_server(interest, server)
    similarity_pb2_grpc.add_SimilarityServiceServicer_to_server(SimilarityServicer(models, threads), server)
    segment_pb2_grpc.add_SegmentServiceServicer_to_server(SegmentServicer(models), server)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingServicer(models, threads), server)
    event_pb2_grpc.add_EventServiceServicer_to_server(events, server)
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(CatalogServicer(database), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(ModelServicer(database), server)
    server_pb2_grpc.add_ServerServiceServicer_to_server(ServerServicer(database, models), server)
