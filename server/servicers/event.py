"""EventService: what users did, recorded row by row in transactions that the batches of many callers share."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Executor
from contextlib import aclosing
from typing import TYPE_CHECKING

from penchant.v1 import event_pb2 as pb
from penchant.v1.event_pb2_grpc import EventServiceServicer

from server import limits
from server.convert import timestamp
from server.event_writer import EventWriter
from server.servicers.event_outcomes import all_rows
from server.servicers.event_rows import read_events
from server.servicers.event_stream import Streams

if TYPE_CHECKING:
    from server.border import Context


class EventServicer(EventServiceServicer):
    """Rows are taken apart in `threads`; nobody holds a thread while the writer writes."""

    def __init__(self, writer: EventWriter, streams: Streams, threads: Executor) -> None:
        self._writer = writer
        self._streams = streams
        self._threads = threads

    async def RecordEvents(self, request: pb.RecordEventsRequest, context: "Context") -> pb.RecordEventsResponse:
        limits.check_count(request.events, "events", limits.MAX_EVENTS)
        # A row that is no event keeps its place with its reason, and the others are stored without it.
        batch = await asyncio.get_running_loop().run_in_executor(self._threads, read_events, request.events)
        outcomes, recorded_at = await self._writer.write(batch.table, len(batch.refused))
        answer = pb.RecordEventsResponse(recorded_at=timestamp(recorded_at))
        answer.outcomes.extend(all_rows(request.events, batch.refused, outcomes))
        return answer

    async def StreamEvents(
        self, request_iterator: AsyncIterator[pb.StreamEventsRequest], context: "Context"
    ) -> AsyncIterator[pb.StreamEventsResponse]:
        with self._streams.opened(request_iterator) as stream:
            async with aclosing(stream.acknowledgements()) as answers:
                async for answer in answers:
                    yield answer
