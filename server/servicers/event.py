"""EventService: what users did, recorded row by row in one transaction."""

import grpc
import pyarrow as pa
from penchant.v1 import event_pb2 as pb
from penchant.v1.event_pb2_grpc import EventServiceServicer

from graph.storage.columns import EVENTS
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.events import append_events
from graph.storage.outcomes import Outcome
from graph.storage.times import SECOND_US, now_us
from server import limits
from server.convert import json_text, microseconds, timestamp
from server.servicers.rows import Row, read_rows, told

SOURCE = "rpc"
CLOCK_TOLERANCE_US = 60 * SECOND_US
_STATUS = {
    Outcome.ACCEPTED: pb.EVENT_STATUS_ACCEPTED,
    Outcome.DUPLICATE: pb.EVENT_STATUS_DUPLICATE,
    Outcome.CONFLICT: pb.EVENT_STATUS_CONFLICT,
    Outcome.UNKNOWN_ITEM: pb.EVENT_STATUS_UNKNOWN_ITEM,
}


class EventServicer(EventServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    def RecordEvents(self, request: pb.RecordEventsRequest, context: grpc.ServicerContext) -> pb.RecordEventsResponse:
        limits.check_count(request.events, "events", limits.MAX_EVENTS)
        recorded_at = now_us()
        # A row that is no event keeps its place with its reason, and the others are stored without it.
        rows, refused = read_rows(request.events, _row)
        outcomes = append_events(
            self._database,
            pa.Table.from_pylist(rows, schema=EVENTS),
            source=SOURCE,
            recorded_at=recorded_at,
            future_tolerance_us=CLOCK_TOLERANCE_US,
        )
        answer = pb.RecordEventsResponse(recorded_at=timestamp(recorded_at))
        for event, each in zip(request.events, told(len(request.events), refused, outcomes), strict=True):
            status = _STATUS.get(each.outcome, pb.EVENT_STATUS_REJECTED) if each.outcome else pb.EVENT_STATUS_REJECTED
            answer.outcomes.add(event_id=event.event_id, status=status, reason=each.reason, message=each.message)
        return answer


def _row(event: pb.Event) -> Row:
    """One row of columns.EVENTS. Raises BadInputError."""
    limits.check_id(event.event_id, "event_id")
    limits.check_id(event.user, "user")
    if event.item or not event.retracts:
        limits.check_id(event.item, "item")
    if not event.kind:
        raise BadInputError("kind is missing.", field="kind", reason="UNKNOWN_KIND")
    limits.check_id(event.kind, "kind")
    limits.check_text(event.session_key, "session_key", limits.MAX_ID_BYTES)
    if event.retracts:
        limits.check_id(event.retracts, "retracts")
    if not event.HasField("occurred_at"):
        raise BadInputError("occurred_at is required.", field="occurred_at", reason="INVALID_TIME")
    if event.HasField("value"):
        limits.check_finite(event.value, "value")
    return {
        "event_id": event.event_id,
        "user": event.user,
        "item": event.item or None,
        "kind": event.kind,
        "value": event.value if event.HasField("value") else None,
        "session_key": event.session_key or None,
        "sequence": event.sequence if event.HasField("sequence") else None,
        "context": json_text(event.context, "context"),
        "retracts": event.retracts or None,
        "occurred_at": microseconds(event.occurred_at, "occurred_at"),
    }
