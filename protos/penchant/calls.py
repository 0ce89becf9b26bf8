"""What a method of a client asks, before anything is sent: the part that both clients share."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar, cast

from google.protobuf.message import Message

from penchant import rpcs
from penchant.attempts import Attempts
from penchant.errors import ServerError
from penchant.v1.embedding_pb2 import ExportEmbeddingsRequest, ExportEmbeddingsResponse
from penchant.vectors import EmbeddingChunk, chunk_from

Answer = TypeVar("Answer")
Result = TypeVar("Result")
Row = TypeVar("Row")


class _Pageable(Protocol):
    page_token: str


class _Page(Protocol):
    next_page_token: str


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a client was told for all its calls."""

    deadline_ms: float
    retries: int


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer, Result]):
    """One request and one answer; the request's type says which rpc it is for."""

    request: Message
    answer: type[Answer]
    """The message that answers, for the type checker; the descriptors say the same."""
    read: Callable[[Answer], Result]
    """What the method gives back of it."""
    deadline_ms: float | None

    def attempts(self, defaults: Defaults) -> Attempts:
        """One try alone where another could do harm."""
        retries = defaults.retries if rpcs.is_repeatable(self.request) else 0
        return Attempts(defaults.deadline_ms if self.deadline_ms is None else self.deadline_ms, retries)


Whole = Call[Answer, Answer]
"""A call whose answer is given back as it came."""


@dataclass(frozen=True, slots=True)
class Pages(Generic[Answer, Row]):
    """A list, read page by page."""

    request: Message
    answer: type[Answer]
    rows: Callable[[Answer], Sequence[Row]]
    """Those of one page."""
    deadline_ms: float | None
    """Of each page."""

    def page(self) -> Whole[Answer]:
        """The page whose turn it is."""
        return Call(self.request, self.answer, whole, self.deadline_ms)

    def turn(self, page: Answer) -> bool:
        """Whether another page follows `page`; it is then its turn."""
        token = cast(_Page, page).next_page_token
        cast(_Pageable, self.request).page_token = token
        return bool(token)


@dataclass(slots=True)
class Export:
    """A stream of chunks that is opened again where it broke."""

    request: ExportEmbeddingsRequest
    deadline_ms: float
    """Of the whole export."""
    _origin: str = field(default="", init=False)

    def attempts(self, defaults: Defaults) -> Attempts:
        return Attempts(self.deadline_ms, defaults.retries)

    def take(self, message: ExportEmbeddingsResponse) -> EmbeddingChunk:
        """The chunk, checked; a stream that is opened after it goes on behind it.

        Raises CorruptDataError for a broken one, ServerError where it belongs to another export.
        """
        chunk = chunk_from(message)
        self._origin = self._origin or chunk.origin
        if chunk.origin != self._origin:
            raise ServerError(
                f"An export of {self._origin} went on as {chunk.origin}.", hint="Start it anew, without a resume token."
            )
        self.request.resume_token = chunk.resume_token
        return chunk


@dataclass(frozen=True, slots=True)
class Stream:
    """Any rpc that streams, as it is: sent once, whatever happens to it."""

    rpc: rpcs.Rpc
    requests: Sequence[Message]
    deadline_ms: float


def whole(answer: Answer) -> Answer:
    """The answer as it came."""
    return answer


def any_call(request: Message, *, deadline_ms: float | None = None) -> Call[Any, Message]:
    """The answer to any …Request message of a unary rpc. TypeError where it is none."""
    rpc = rpcs.find(request)
    if rpc.streams:
        raise TypeError(f"{rpc.name} answers with a stream; use the client's method for it, or `stream`.")
    return Call(request, rpc.response, whole, deadline_ms)


def any_stream(requests: Message | Iterable[Message], *, deadline_ms: float = 3_600_000) -> Stream:
    """The answers of any rpc that streams, as they come; nothing is sent again when the stream breaks.

    requests: one message, or all messages of a rpc that takes a stream. TypeError where no such rpc takes them.
    """
    messages = [requests] if isinstance(requests, Message) else list(requests)
    if not messages:
        raise TypeError("A stream begins with a request; there is none.")
    rpc = rpcs.find(messages[0])
    if not rpc.streams:
        raise TypeError(f"{rpc.name} gives one answer; use the client's method for it, or `call`.")
    if not rpc.uploads and len(messages) > 1:
        raise TypeError(f"{rpc.name} takes one request, not {len(messages)}.")
    return Stream(rpc, messages, deadline_ms)
