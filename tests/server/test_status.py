import pytest
from google.rpc import code_pb2, error_details_pb2

from graph.storage.errors import (
    ArtifactError,
    BadInputError,
    ConflictError,
    DeadlineError,
    NotFoundError,
    PenchantError,
    SchemaError,
    StoreUnavailableError,
    TrainingError,
)
from server.status import MAX_DETAIL_BYTES, MAX_MESSAGE_BYTES, status_of


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (BadInputError, code_pb2.INVALID_ARGUMENT),
        (NotFoundError, code_pb2.NOT_FOUND),
        (ConflictError, code_pb2.FAILED_PRECONDITION),
        (SchemaError, code_pb2.FAILED_PRECONDITION),
        (StoreUnavailableError, code_pb2.UNAVAILABLE),
        (ArtifactError, code_pb2.UNAVAILABLE),
        (DeadlineError, code_pb2.DEADLINE_EXCEEDED),
        (TrainingError, code_pb2.INTERNAL),
    ],
)
def test_each_error_has_its_code_its_reason_and_its_hint(kind: type[PenchantError], code: int) -> None:
    status = status_of(kind("What happened.", hint="What to do.", reason="SO_IT_IS"))
    assert (status.code, status.message) == (code, "What happened. What to do.")
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("SO_IT_IS", "penchant")
    assert any(detail.Unpack(retry) for detail in status.details) == (code == code_pb2.UNAVAILABLE)


@pytest.mark.parametrize("letter", ["x", "ü", "😀"])
def test_a_status_fits_into_trailers_whatever_was_said(letter: str) -> None:
    """What is not ASCII is three bytes each on the wire; beyond 8 KB the error itself may be lost."""
    status = status_of(BadInputError(letter * 50_000, field="items[3]"))
    assert len(status.message.encode()) <= MAX_MESSAGE_BYTES
    assert status.message.startswith(letter * 200)
    assert status.message.endswith("…")
    assert status.ByteSize() <= MAX_DETAIL_BYTES
    assert len(status.details) == 2
