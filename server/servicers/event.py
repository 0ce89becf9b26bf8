"""EventService: what users did, recorded row by row in transactions that the batches of many callers share."""

from collections.abc import Iterator

import grpc
from penchant.v1 import event_pb2 as pb
from penchant.v1.event_pb2_grpc import EventServiceServicer

from server import limits
from server.convert import timestamp
from server.event_writer import EventWriter
from server.servicers.event_outcomes import all_rows
from server.servicers.event_rows import read_events
from server.servicers.event_stream import Streams


class EventServicer(EventServiceServicer):
    def __init__(self, writer: EventWriter, streams: Streams) -> None:
        self._writer = writer
        self._streams = streams

    def RecordEvents(self, request: pb.RecordEventsRequest, context: grpc.ServicerContext) -> pb.RecordEventsResponse:
        limits.check_count(request.events, "events", limits.MAX_EVENTS)
        # A row that is no event keeps its place with its reason, and the others are stored without it.
        batch = read_events(request.events)
        outcomes, recorded_at = self._writer.submit(batch.table).result()
        answer = pb.RecordEventsResponse(recorded_at=timestamp(recorded_at))
        answer.outcomes.extend(all_rows(request.events, batch.refused, outcomes))
        return answer

    def StreamEvents(
        self, request_iterator: Iterator[pb.StreamEventsRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.StreamEventsResponse]:
        with self._streams.opened(request_iterator) as stream:
            yield from stream.acknowledgements()
