"""What became of events, as messages."""

from collections.abc import Iterator, Sequence

from penchant.v1 import event_pb2 as pb

from graph.storage.errors import BadInputError
from graph.storage.outcomes import Outcome, Outcomes
from server.servicers.rows import shown, told

_STATUS = {
    Outcome.ACCEPTED: pb.EVENT_STATUS_ACCEPTED,
    Outcome.DUPLICATE: pb.EVENT_STATUS_DUPLICATE,
    Outcome.CONFLICT: pb.EVENT_STATUS_CONFLICT,
    Outcome.UNKNOWN_ITEM: pb.EVENT_STATUS_UNKNOWN_ITEM,
}


def all_rows(
    events: Sequence[pb.Event], refused: dict[int, BadInputError], outcomes: Outcomes
) -> Iterator[pb.EventOutcome]:
    """One message per event, in order; `outcomes` are of those that are not in `refused`."""
    for event, each in zip(events, told(len(events), refused, outcomes), strict=True):
        status = _STATUS.get(each.outcome, pb.EVENT_STATUS_REJECTED) if each.outcome else pb.EVENT_STATUS_REJECTED
        yield pb.EventOutcome(event_id=shown(event.event_id), status=status, reason=each.reason, message=each.message)


def other_rows(
    events: Sequence[pb.Event], refused: dict[int, BadInputError], outcomes: Outcomes
) -> Iterator[tuple[int, pb.EventOutcome]]:
    """The same with their places, without those that were recorded."""
    if outcomes.count(Outcome.ACCEPTED) == len(events):  # the usual case
        return
    for row, outcome in enumerate(all_rows(events, refused, outcomes)):
        if outcome.status != pb.EVENT_STATUS_ACCEPTED:
            yield row, outcome
