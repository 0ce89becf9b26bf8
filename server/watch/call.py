"""One call: what it brought with it, and the id that all its log lines share."""

import random
import re
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]  # generic in its types alone

REQUEST_ID = "x-request-id"
_USABLE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
"""What may stand in a log and in a header as it is. Any other id is not refused, but a new one takes its place."""


class Call:
    """`started_s` is by time.perf_counter."""

    __slots__ = ("_metadata", "_request_id", "context", "observed", "started_s", "trace_id")

    def __init__(self, context: "Context") -> None:
        self.context = context
        self._metadata: dict[str, str] | None = None
        self._request_id = ""
        self.started_s = time.perf_counter()
        self.trace_id = ""
        """That of its trace, hexadecimal; empty where none is kept."""
        self.observed: Any = None
        """What an observer keeps from the beginning to the end."""

    @property
    def metadata(self) -> dict[str, str]:
        """By lower-case name the first value that is text."""
        if self._metadata is None:
            pairs = list(self.context.invocation_metadata() or ())
            self._metadata = {key: value for key, value in reversed(pairs) if isinstance(value, str)}
        return self._metadata

    @property
    def request_id(self) -> str:
        """The caller's where it can be used, else one made here. Looked for once somebody asks."""
        if not self._request_id:
            given = self.metadata.get(REQUEST_ID, "")
            self._request_id = given if _USABLE_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        return self._request_id


CURRENT: ContextVar[Call | None] = ContextVar("call", default=None)


def current_call() -> Call | None:
    """The one that this task or thread works for."""
    return CURRENT.get()


def current_request_id() -> str:
    """Its id; empty outside of any call."""
    call = CURRENT.get()
    return call.request_id if call else ""
