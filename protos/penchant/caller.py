"""How calls are made: deadlines, tries, pages and streams, whatever the rpc."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

import grpc
from google.protobuf.message import Message

from penchant import rpcs
from penchant.errors import CorruptDataError, ServerError, from_rpc_error
from penchant.transport import Attempts
from penchant.v1.embedding_pb2 import ExportEmbeddingsRequest, ExportEmbeddingsResponse
from penchant.vectors import EmbeddingChunk, chunk_from


class _Pageable(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


Request = TypeVar("Request")
Response = TypeVar("Response")
PageRequest = TypeVar("PageRequest", bound=_Pageable)
Page = TypeVar("Page", bound=_Page)


class Caller:
    """Makes calls over one channel. Every method raises PenchantError; `deadline_ms` covers all tries of a call."""

    def __init__(self, channel: grpc.Channel, deadline_ms: float, retries: int) -> None:
        self._channel = channel
        self._deadline_ms = deadline_ms
        self._retries = retries

    def unary(
        self,
        rpc: "grpc.UnaryUnaryMultiCallable[Request, Response]",
        request: Request,
        deadline_ms: float | None,
    ) -> Response:
        """The answer to `request`."""
        retries = self._retries if rpcs.is_repeatable(request) else 0
        attempts = Attempts(self._deadline_ms if deadline_ms is None else deadline_ms, retries)
        while True:
            try:
                return rpc(request, timeout=attempts.left_s())
            except grpc.RpcError as error:
                attempts.pause_or_raise(from_rpc_error(error))

    def any(self, request: Message, deadline_ms: float | None) -> Message:
        """The answer to `request`, whose type says which rpc it is for."""
        rpc = rpcs.find(request)
        if rpc.streams:
            raise TypeError(f"{rpc.name} answers with a stream; use the client's method for it.")
        call = self._channel.unary_unary(
            rpc.path,
            request_serializer=rpc.request.SerializeToString,
            response_deserializer=rpc.response.FromString,
        )
        return self.unary(call, request, deadline_ms)

    def pages(
        self,
        rpc: "grpc.UnaryUnaryMultiCallable[PageRequest, Page]",
        request: PageRequest,
        deadline_ms: float | None,
    ) -> Iterator[Page]:
        """All pages from the first; the deadline is each page's."""
        while True:
            page = self.unary(rpc, request, deadline_ms)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def export(
        self,
        rpc: "grpc.UnaryStreamMultiCallable[ExportEmbeddingsRequest, ExportEmbeddingsResponse]",
        request: ExportEmbeddingsRequest,
        deadline_ms: float,
    ) -> Iterator[EmbeddingChunk]:
        """All chunks once, each checked. A cut or corrupt stream goes on after the last chunk that arrived whole."""
        attempts = Attempts(deadline_ms, self._retries)
        origin = None
        while True:
            stream = rpc(request, timeout=attempts.left_s())
            try:
                for message in stream:
                    chunk = chunk_from(message)
                    origin = origin or _origin(chunk)
                    if _origin(chunk) != origin:
                        raise ServerError(f"An export of {origin} went on as {_origin(chunk)}: start it anew.")
                    request.resume_token = chunk.resume_token
                    attempts.progressed()
                    yield chunk
                return
            except grpc.RpcError as error:
                attempts.pause_or_raise(from_rpc_error(error))
            except CorruptDataError as error:
                attempts.pause_or_raise(error, anyway=True)
            finally:
                stream.cancel()


def _origin(chunk: EmbeddingChunk) -> str:
    return f"{chunk.model_version} in {chunk.vector_space} as of {chunk.as_of}"
