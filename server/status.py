"""From an error of ours to a gRPC status with google.rpc details; the one table of codes.

    error                    code                  retry?
    BadInputError            INVALID_ARGUMENT      no, mend the request
    NotFoundError            NOT_FOUND             no
    ConflictError            FAILED_PRECONDITION   no, the state must change first
    SchemaError              FAILED_PRECONDITION   no, an admin must migrate
    StoreUnavailableError    UNAVAILABLE           yes, after RetryInfo
    ArtifactError            UNAVAILABLE           yes: no model that can be served is loaded
    StoppingError            UNAVAILABLE           yes: another server, or the next one here, goes on
    UnauthenticatedError     UNAUTHENTICATED       no, other credentials are needed
    PermissionDeniedError    PERMISSION_DENIED     no, the credentials lack the scope
    BusyError                RESOURCE_EXHAUSTED    yes, after RetryInfo: of a RateLimitError, when the next call is free
    DeadlineError            DEADLINE_EXCEEDED     no, it would take as long again
    anything else            INTERNAL              a bug of ours; the log has it under the request id

Details travel in trailers, where over 16 KB the real error is lost, so they are kept under 4 KB.
"""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from graph.storage.errors import (
    ArtifactError,
    BadInputError,
    BusyError,
    ConflictError,
    DeadlineError,
    NotFoundError,
    PenchantError,
    PermissionDeniedError,
    SchemaError,
    StoppingError,
    StoreUnavailableError,
    UnauthenticatedError,
)

DOMAIN = "penchant"
MAX_DETAIL_BYTES = 4_096
MAX_MESSAGE_BYTES = 1_000
RETRY_DELAY_MS = 1_000

_CODES: tuple[tuple[type[PenchantError], int], ...] = (
    (BadInputError, code_pb2.INVALID_ARGUMENT),
    (NotFoundError, code_pb2.NOT_FOUND),
    (ConflictError, code_pb2.FAILED_PRECONDITION),
    (SchemaError, code_pb2.FAILED_PRECONDITION),
    (StoreUnavailableError, code_pb2.UNAVAILABLE),
    (ArtifactError, code_pb2.UNAVAILABLE),
    (StoppingError, code_pb2.UNAVAILABLE),
    (UnauthenticatedError, code_pb2.UNAUTHENTICATED),
    (PermissionDeniedError, code_pb2.PERMISSION_DENIED),
    (BusyError, code_pb2.RESOURCE_EXHAUSTED),
    (DeadlineError, code_pb2.DEADLINE_EXCEEDED),
)


def status_of(error: PenchantError) -> status_pb2.Status:
    """The google.rpc.Status of `error`: always an ErrorInfo, field violations and RetryInfo where they apply."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), code_pb2.INTERNAL)
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)]
    if isinstance(error, BadInputError) and error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=_cut(str(error)))
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    if code in (code_pb2.UNAVAILABLE, code_pb2.RESOURCE_EXHAUSTED):
        delay = Duration()
        delay.FromMicroseconds(
            round((RETRY_DELAY_MS if error.retry_after_ms is None else error.retry_after_ms) * 1_000)
        )
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    return build_status(code, str(error), details)


def build_status(code: int, message: str, details: list[Message]) -> status_pb2.Status:
    """A Status whose details are dropped from the end until they fit into `MAX_DETAIL_BYTES`."""
    status = status_pb2.Status(code=code, message=_cut(message))
    for detail in details:
        status.details.add().Pack(detail)
        if status.ByteSize() > MAX_DETAIL_BYTES:
            del status.details[-1]
            break
    return status


def _cut(text: str) -> str:
    """In bytes: what is not ASCII travels as three bytes for each of its own."""
    data = text.encode()
    if len(data) <= MAX_MESSAGE_BYTES:
        return text
    return data[: MAX_MESSAGE_BYTES - 3].decode(errors="ignore") + "…"
