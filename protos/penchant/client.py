"""The clients, for threads and for event loops: where they connect to, and the methods of methods.py."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from types import TracebackType

import grpc

from penchant.async_caller import AsyncCaller
from penchant.caller import Caller
from penchant.calls import Defaults
from penchant.connection import Connection, Pem, connection
from penchant.methods import Methods
from penchant.questions import EXPORT_DEADLINE_MS, KINDS, Kind
from penchant.streams import MAX_UNACKNOWLEDGED, PATIENCE_MS
from penchant.v1.event_pb2 import Event, StreamEventsResponse

__all__ = ["EXPORT_DEADLINE_MS", "KINDS", "AsyncPenchantClient", "Kind", "PenchantClient"]


class _Client(Methods, ABC):
    """What both clients are made from.

    address: "host:port", or any target that gRPC resolves; several as a list, or with commas between. Calls are spread
        over all addresses of all names, and go round those that do not answer. Of several, names are looked up once.
    ca: TLS with servers whose certificates this authority signed: a PEM file, or "default" for the public ones.
    certificate, key: of this client, for servers that ask for one (mutual TLS): PEM files.
    server_name: the name that the servers' certificates have, where it is not the address's own.
    credentials: channel credentials of gRPC's own, in place of the five before.
    token: sent with each call as `authorization: Bearer …`.
    api_key: sent with each call as `x-api-key: …`.
    plaintext_token: send these two also where the connection is not encrypted. Else that is refused, but to loopback
        addresses: set it only where the network itself is encrypted, as in a service mesh.
    deadline_ms: how long a call may take, all its tries together; each method takes another for one call.
    retries: how often a call that is harmless to repeat is sent again. penchant.errors says after which errors;
        the pause is what the server's RetryInfo asks for, else it grows from 0.1 s to 5 s.

    penchant.connection says which of them are read from the environment where they are not given. Files are read once,
    here. ConfigurationError where they do not go together.

    Every method raises penchant.PenchantError. Answers are the messages of penchant.v1, whose .proto files say what
    each field means; only vectors come as numpy arrays. Lists are read page by page while they are iterated over.
    """

    def __init__(
        self,
        address: str | Sequence[str] | None = None,
        *,
        ca: Pem | None = None,
        certificate: Pem | None = None,
        key: Pem | None = None,
        server_name: str | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        api_key: str | None = None,
        plaintext_token: bool = False,
        deadline_ms: float = 10_000,
        retries: int = 5,
    ) -> None:
        self._where = connection(
            address,
            ca=ca,
            certificate=certificate,
            key=key,
            server_name=server_name,
            credentials=credentials,
            token=token,
            api_key=api_key,
            plaintext_token=plaintext_token,
        )
        self._start(self._where, Defaults(deadline_ms, retries))

    @abstractmethod
    def _start(self, where: Connection, defaults: Defaults) -> None:
        """Sets `_caller`."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._where}>"


class PenchantClient(_Client):
    """Asks a penchant server. Safe to share between threads; close it, or use it in a `with` block."""

    __doc__ += (_Client.__doc__ or "").split("\n", 1)[1]

    def _start(self, where: Connection, defaults: Defaults) -> None:
        self._caller = Caller(where, defaults)

    def close(self) -> None:
        """Closes the connections; calls in flight end with CallCancelledError."""
        self._caller.close()

    def __enter__(self) -> "PenchantClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def stream_events(
        self,
        batches: Iterable[Sequence[Event]],
        *,
        max_unacknowledged: int = MAX_UNACKNOWLEDGED,
        patience_ms: float = PATIENCE_MS,
    ) -> Iterator[StreamEventsResponse]:
        """Records batches of up to 1,000 events over one stream; yields the acknowledgement of each, in their order.

        The first batch has number 1. An acknowledged batch is durable; look at `others`, the rows that were not
        recorded. Events are completed as by `record_events`. A stream that breaks, or whose server stops, goes on by
        itself: what was not acknowledged is sent again, which records nothing twice.

        batches: read in a thread of its own, no more than `max_unacknowledged` ahead of the acknowledgements.
        patience_ms: for how long no batch may be acknowledged, counted from a failure, before its error is raised.
        """
        return self._caller.stream_events(batches, max_unacknowledged, patience_ms)


class AsyncPenchantClient(_Client):
    """Asks a penchant server from an event loop, which is the one of the first call; close it, or use `async with`.

    Its methods are those of PenchantClient: `await` what gives one result, `async for` what gives many.
    """

    __doc__ += (_Client.__doc__ or "").split("\n", 1)[1]

    def _start(self, where: Connection, defaults: Defaults) -> None:
        self._caller = AsyncCaller(where, defaults)

    async def close(self) -> None:
        """Closes the connections; calls in flight end with CallCancelledError."""
        await self._caller.close()

    async def __aenter__(self) -> "AsyncPenchantClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def stream_events(
        self,
        batches: Iterable[Sequence[Event]] | AsyncIterable[Sequence[Event]],
        *,
        max_unacknowledged: int = MAX_UNACKNOWLEDGED,
        patience_ms: float = PATIENCE_MS,
    ) -> AsyncIterator[StreamEventsResponse]:
        """As PenchantClient.stream_events; `batches` may be asynchronous, and is read in a task of its own."""
        return self._caller.stream_events(batches, max_unacknowledged, patience_ms)
