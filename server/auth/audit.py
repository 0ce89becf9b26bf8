"""What admins did, and what others tried: one line `audit` for each call of scope admin, at any log level."""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import structlog
from google.protobuf.message import Message

from graph.storage.errors import UnauthenticatedError
from server.auth.guard import Guard

if TYPE_CHECKING:  # generic in its types alone
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

LONGEST = 256
"""Characters of a field that are kept."""

_log = structlog.wrap_logger(None, wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
"""Below no level: a server that logs errors alone still says what was done to it."""


def audited(method: str, call: Callable[..., Any], guard: Guard | None) -> Callable[..., Any]:
    """`call` with its line: who, what, how it ended. One that was refused at the door has no fields, as nobody read its
    request."""

    async def audit(request: Any, context: "Context") -> Any:
        code, caller = "UNKNOWN", _caller(context, guard)  # as of now: by the end of it the key may be gone
        try:
            answer = await call(request, context)
            code = "OK"
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except Exception:
            code = getattr(context.code(), "name", code)
            raise
        finally:
            _log.info("audit", method=method, caller=caller, peer=context.peer(), code=code, fields=_fields(request))
        return answer

    return audit


def _caller(context: "Context", guard: Guard | None) -> str:
    """By credentials; where none are asked for, by the client's certificate if there is one."""
    if guard is None:
        names = context.auth_context().get("x509_common_name", ())
        return f"certificate:{next(iter(names)).decode(errors='replace')}" if names else "anybody"
    try:
        return guard.identify(context.invocation_metadata() or ()).name
    except UnauthenticatedError:
        return "unknown"


def _fields(request: Any) -> dict[str, Any]:
    """The request's own fields; requests of this scope are short and hold no events and no catalog."""
    if not isinstance(request, Message):
        return {}
    return {
        field.name: value[:LONGEST] if isinstance(value, str) else value
        for field, value in request.ListFields()
        if isinstance(value, str | bool | int | float)
    }
