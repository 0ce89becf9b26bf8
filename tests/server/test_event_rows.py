"""Events read column by column are what they would be one by one."""

import math
from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from penchant.v1 import event_pb2 as pb

from graph.storage.columns import EVENTS
from graph.storage.errors import BadInputError
from server.servicers.event_rows import check_event, read_events

# Each of what the border refuses, what only the store refuses, and what is fine.
text = st.sampled_from(["", " ", "a", "b", "ü" * 128, "ü" * 129, "x\0", "\x1f", "x\x7fy", "\u0085", "purchase"])
times = st.builds(
    Timestamp,
    seconds=st.sampled_from(
        [-(2**63), -62_135_596_801, -1, 0, 1_700_000_000, 253_402_300_799, 253_402_300_800, 2**63 - 1]
    ),
    nanos=st.sampled_from([-1, 0, 999, 1_000, 999_999_999, 1_000_000_000]),
)


def struct(content: dict[str, Any]) -> Struct:
    made = Struct()
    made.update(content)
    return made


CONTEXTS: list[dict[str, Any]] = [{}, {"a": 1.5}, {"b": "y" * 9_000}, {"c": math.nan}]
contexts = st.sampled_from(CONTEXTS).map(struct)
# Mostly good, with some fields that may be anything: where several are bad, the first hides the others.
GOOD: dict[str, Any] = {
    "event_id": "e",
    "user": "u",
    "item": "i",
    "kind": "view",
    "occurred_at": Timestamp(seconds=1_700_000_000),
}
events = st.fixed_dictionaries(
    {},
    optional={
        "event_id": text,
        "user": text,
        "item": text,
        "kind": text,
        "value": st.none() | st.sampled_from([0.0, -1.5, math.nan, math.inf]),
        "session_key": text,
        "sequence": st.none() | st.sampled_from([-1, 0, 2**63 - 1]),
        "occurred_at": st.none() | times,
        "context": st.none() | contexts,
        "retracts": text,
    },
).map(lambda fields: pb.Event(**{**GOOD, **fields}))


def alone(event: pb.Event) -> dict[str, object] | None:
    """The row of one event, None where the contract has no place for it."""
    try:
        context = check_event(event)
    except BadInputError:
        return None
    return {
        "event_id": event.event_id,
        "user": event.user,
        "item": event.item or None,
        "kind": event.kind,
        "value": event.value if event.HasField("value") else None,
        "session_key": event.session_key or None,
        "sequence": event.sequence if event.HasField("sequence") else None,
        "context": context,
        "retracts": event.retracts or None,
        "occurred_at": event.occurred_at.seconds * 1_000_000 + event.occurred_at.nanos // 1_000,
    }


@given(st.lists(events, min_size=1, max_size=8))
def test_columns_say_what_single_rows_say(sent: list[pb.Event]) -> None:
    table, refused = read_events(sent)
    one_by_one = [alone(event) for event in sent]
    assert table.to_pylist() == [row for row in one_by_one if row is not None]
    assert sorted(refused) == [place for place, row in enumerate(one_by_one) if row is None]
    assert table.schema.names == [name for name in EVENTS.names if name != "recorded_at"]


def test_a_retraction_may_leave_out_its_item() -> None:
    back = pb.Event(event_id="e", user="u", kind="retract", retracts="f", occurred_at=Timestamp(seconds=1))
    table, refused = read_events([back])
    assert (table["item"].to_pylist(), refused) == ([None], {})


def test_a_good_batch_is_looked_at_by_columns_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The point of it all: no Python for each row where nothing is wrong."""
    good = pb.Event(event_id="e", user="u", item="i", kind="view", occurred_at=Timestamp(seconds=1_700_000_000))
    monkeypatch.setattr("server.servicers.event_rows.check_event", None)
    table, refused = read_events([good] * 5)
    assert (len(table), refused) == (5, {})
