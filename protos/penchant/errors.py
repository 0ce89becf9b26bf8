"""Every error a call can end with. `except PenchantError` catches all; the rest is for those who want to act on it.

gRPC code             exception                    sent again by the client?
INVALID_ARGUMENT      InvalidArgumentError         no: mend the request, see `violations`
OUT_OF_RANGE          InvalidArgumentError         no
NOT_FOUND             NotFoundError                no
FAILED_PRECONDITION   FailedPreconditionError      no: the state must change first
  MODEL_VERSION_GONE    ModelVersionGoneError      no: start the listing or export anew
ABORTED               FailedPreconditionError      no
ALREADY_EXISTS        FailedPreconditionError      no
UNAVAILABLE           UnavailableError             yes, after RetryInfo or a growing pause
RESOURCE_EXHAUSTED    ResourceExhaustedError       only where RetryInfo says when
DEADLINE_EXCEEDED     DeadlineExceededError        never
CANCELLED             CallCancelledError           yes, unless this side gave it up: a server that stops says so
                                                   of calls that it had not begun
UNAUTHENTICATED       PermissionDeniedError        no
PERMISSION_DENIED     PermissionDeniedError        no
UNIMPLEMENTED         UnimplementedError           no: the server is older than this client
anything else         ServerError                  no: a bug of the server's, its log has more
(none)                CorruptDataError             an export does, from the last good chunk
(none)                ConfigurationError           no: nothing was sent

PenchantError
├── InvalidArgumentError
├── NotFoundError
├── FailedPreconditionError
│   └── ModelVersionGoneError
├── UnavailableError
├── ResourceExhaustedError
├── DeadlineExceededError
├── CallCancelledError
├── PermissionDeniedError
├── UnimplementedError
├── ServerError
├── CorruptDataError
└── ConfigurationError
"""

from dataclasses import dataclass
from typing import Any, cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS_KEY = "grpc-status-details-bin"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that the server refused."""

    field: str
    """Path in the request, such as "events[3].item"."""
    description: str
    """What is wrong with it and what to do."""


class PenchantError(Exception):
    """A call that did not succeed.

    message: what happened, for people; where it is the server's, it says what to do as well.
    hint: what to do, where `message` does not say it.
    code: the gRPC code; None where the error is not the server's.
    reason: the same for programs, stable, such as "UNKNOWN_ITEM"; empty where the server gave none.
    violations: the fields that were refused.
    retry_after_s: seconds after which the server wants to be asked again; None where it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: grpc.StatusCode | None = None,
        reason: str = "",
        violations: tuple[FieldViolation, ...] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code
        self.reason = reason
        self.violations = violations
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        head = " ".join(part for part in (self.code.name if self.code else "", self.reason) if part)
        stop = "" if not self.hint or self.message.endswith((".", "!", "?")) else "."
        text = f"{self.message}{stop} {self.hint}".rstrip()
        lines = [f"{head}: {text}" if head else text]
        lines += [f"  {violation.field}: {violation.description}" for violation in self.violations]
        return "\n".join(lines)


class InvalidArgumentError(PenchantError):
    """The request cannot be right, whatever the state of the server."""


class NotFoundError(PenchantError):
    """A user, item, category, segment or model that does not exist."""


class FailedPreconditionError(PenchantError):
    """The request is right, but not in the state that the server is in."""


class ModelVersionGoneError(FailedPreconditionError):
    """A page or resume token of a revision that the server no longer keeps: start anew."""


class UnavailableError(PenchantError):
    """The server, its store or its model is not there now."""


class ResourceExhaustedError(PenchantError):
    """The server is overloaded, or a message was too large."""


class DeadlineExceededError(PenchantError):
    """No answer came within `deadline_ms`. A write may have happened all the same; sending it again is harmless."""


class CallCancelledError(PenchantError):
    """The call was given up, by this side or by the server."""


class PermissionDeniedError(PenchantError):
    """The server does not know the caller, or does not let it do this."""


class UnimplementedError(PenchantError):
    """The server has no such method."""


class ServerError(PenchantError):
    """A bug of the server's."""


class CorruptDataError(PenchantError):
    """Data whose length or checksum is wrong."""


class ConfigurationError(PenchantError):
    """Arguments or environment of a client that cannot be used."""


_BY_CODE: dict[grpc.StatusCode, type[PenchantError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgumentError,
    grpc.StatusCode.OUT_OF_RANGE: InvalidArgumentError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPreconditionError,
    grpc.StatusCode.ABORTED: FailedPreconditionError,
    grpc.StatusCode.ALREADY_EXISTS: FailedPreconditionError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhaustedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceededError,
    grpc.StatusCode.CANCELLED: CallCancelledError,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDeniedError,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDeniedError,
    grpc.StatusCode.UNIMPLEMENTED: UnimplementedError,
}


_HINTS: dict[grpc.StatusCode, str] = {
    grpc.StatusCode.UNAVAILABLE: "Is a server running at that address, and does it expect TLS?",
    grpc.StatusCode.DEADLINE_EXCEEDED: "Give the call more time with deadline_ms, or look why the server is slow.",
    grpc.StatusCode.UNAUTHENTICATED: "Give a token, as an argument or in PENCHANT_CLIENT_TOKEN.",
    grpc.StatusCode.UNIMPLEMENTED: "The server is older than this client, or no penchant server.",
}
"""For errors that gRPC made: a server of ours says itself what to do."""


def from_rpc_error(error: grpc.RpcError) -> PenchantError:
    """The exception of the table above, with what the google.rpc details of `error` say."""
    call = cast(grpc.Call, error)  # what grpc raises from a call is one, though its types do not say so
    code = call.code()
    reason = ""
    violations: list[FieldViolation] = []
    retry_after_s = None
    for detail in _details(call):
        if isinstance(detail, error_details_pb2.ErrorInfo):
            reason = detail.reason
        elif isinstance(detail, error_details_pb2.BadRequest):
            violations += [FieldViolation(each.field, each.description) for each in detail.field_violations]
        else:
            retry_after_s = max(0.0, detail.retry_delay.seconds + detail.retry_delay.nanos / 1e9)
    kind = ModelVersionGoneError if reason == "MODEL_VERSION_GONE" else _BY_CODE.get(code, ServerError)
    result = kind(
        call.details() or "The server gave no message.",
        hint="" if reason else _HINTS.get(code, ""),
        code=code,
        reason=reason,
        violations=tuple(violations),
        retry_after_s=retry_after_s,
    )
    result.__cause__ = error
    return result


_DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


def _details(call: grpc.Call) -> list[Any]:
    try:
        packed = [
            detail
            for key, value in call.trailing_metadata() or ()
            if key == _DETAILS_KEY
            for detail in status_pb2.Status.FromString(value).details
        ]
        return [kind.FromString(each.value) for each in packed for kind in _DETAILS if each.Is(kind.DESCRIPTOR)]
    except DecodeError:
        # A broken detail must not hide the error that it belongs to.
        return []
