"""The errors of penchant, one root, none of which knows a transport.

PenchantError                 message says what happened, `hint` says what to do
├── BadInputError             what the caller or a file sent cannot be used
├── NotFoundError             a user, item, model or file that does not exist
├── ConflictError             the same id with other content, or a state that forbids the action
├── SchemaError               the database is older or newer than this version can run on
├── StoreUnavailableError     the database does not answer; trying again later may help
├── ArtifactError             a model folder is missing, unknown or corrupted; names the file
├── UnauthenticatedError      nobody knows who calls: no credentials, wrong ones, or such as have expired
├── PermissionDeniedError     the caller is known, and may not do this
├── BusyError                 more at once than this server takes; trying again later helps
│   └── RateLimitError        more in a second than this caller may ask
├── DeadlineError             not done within the time that a call gets
├── StoppingError             this server is about to end; another one, or its successor, goes on
└── TrainingError             training cannot go on (non-finite loss, nothing to learn from)
"""


class PenchantError(Exception):
    """Root of all errors raised on purpose. `reason` is a stable UPPER_SNAKE name, `hint` what to do about it.

    `retry_after_ms`: when trying again helps, where the error knows it.
    """

    reason = "PENCHANT_ERROR"
    retry_after_ms: float | None = None

    def __init__(self, message: str, *, hint: str = "", reason: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if reason is not None:
            self.reason = reason

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class BadInputError(PenchantError):
    reason = "BAD_INPUT"

    def __init__(self, message: str, *, hint: str = "", reason: str | None = None, field: str = "") -> None:
        super().__init__(message, hint=hint, reason=reason)
        self.field = field


class NotFoundError(PenchantError):
    reason = "NOT_FOUND"


class ConflictError(PenchantError):
    reason = "CONFLICT"


class SchemaError(PenchantError):
    reason = "SCHEMA_MISMATCH"


class StoreUnavailableError(PenchantError):
    reason = "STORE_UNAVAILABLE"


class ArtifactError(PenchantError):
    reason = "ARTIFACT_BROKEN"


class UnauthenticatedError(PenchantError):
    reason = "INVALID_CREDENTIALS"


class PermissionDeniedError(PenchantError):
    reason = "MISSING_SCOPE"


class BusyError(PenchantError):
    reason = "BUSY"


class RateLimitError(BusyError):
    reason = "RATE_LIMITED"

    def __init__(self, message: str, *, hint: str = "", retry_after_ms: float) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_ms = retry_after_ms


class DeadlineError(PenchantError):
    reason = "DEADLINE_EXCEEDED"


class StoppingError(PenchantError):
    reason = "SERVER_STOPPING"


class TrainingError(PenchantError):
    reason = "TRAINING_FAILED"
