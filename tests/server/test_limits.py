"""Every number of server/limits.py is published, and holds: as much is taken, and no more."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import pyarrow as pa
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct
from penchant.errors import InvalidArgumentError, ResourceExhaustedError
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1 import embedding_pb2 as embedding
from penchant.v1 import event_pb2 as event
from penchant.v1 import interest_pb2 as interest
from penchant.v1 import model_pb2 as model
from penchant.v1 import segment_pb2 as segment
from penchant.v1.event_pb2_grpc import EventServiceStub

from graph.storage import registry
from graph.storage.events import append_events
from graph.storage.users import upsert_users
from server import limits

if TYPE_CHECKING:
    from tests.server.conftest import Running, Served

NUMBERS = {name: number for name, number in vars(limits).items() if name.startswith(("MAX_", "DEFAULT_"))}


def ids(n: int) -> list[str]:
    return [f"limit-{n}" for n in range(n)]


def with_filter(**fields: Any) -> interest.RecommendRequest:
    return interest.RecommendRequest(user="u1", k=1, filter=common.ItemFilter(**fields))


def item(**fields: Any) -> catalog.UpsertItemsRequest:
    return catalog.UpsertItemsRequest(items=[catalog.Item(id="limit-item", **fields)])


def json_of(n_bytes: int) -> Struct:
    return ParseDict({"a": "x" * (n_bytes - len('{"a": ""}'))}, Struct())


ONE_REQUEST: dict[str, tuple[Callable[[int], Message], str]] = {
    "MAX_K": (lambda n: interest.RecommendRequest(user="u1", k=n), "K_TOO_LARGE"),
    "MAX_SCORE_ITEMS": (lambda n: interest.ScoreRequest(user="u1", items=ids(n)), "TOO_MANY_ROWS"),
    "MAX_EVENTS": (lambda n: event.RecordEventsRequest(events=[event.Event()] * n), "TOO_MANY_ROWS"),
    "MAX_UPSERTS": (
        lambda n: catalog.UpsertUsersRequest(users=[catalog.User(id=name) for name in ids(n)]),
        "TOO_MANY_ROWS",
    ),
    "MAX_EMBEDDING_IDS": (
        lambda n: embedding.BatchGetEmbeddingsRequest(kind=common.ENTITY_KIND_ITEM, ids=ids(n)),
        "TOO_MANY_ROWS",
    ),
    "MAX_ASSIGN_USERS": (lambda n: segment.AssignSegmentsRequest(users=ids(n)), "TOO_MANY_ROWS"),
    "MAX_FILTER_CATEGORIES": (lambda n: with_filter(categories_out=ids(n)), "TOO_MANY_ROWS"),
    "MAX_FILTER_ITEMS": (lambda n: with_filter(items_out=ids(n)), "TOO_MANY_ROWS"),
    "MAX_ID_BYTES": (lambda n: interest.RecommendRequest(user="u" * n, k=1), "INVALID_ID"),
}
"""What is refused as a whole."""
ONE_ROW: dict[str, tuple[Callable[[int], Message], str]] = {
    "MAX_ITEM_CATEGORIES": (lambda n: item(categories=["c1"] * n), "TOO_MANY_ROWS"),
    "MAX_NAME_BYTES": (lambda n: item(name="x" * n), "TEXT_TOO_LONG"),
    "MAX_ITEM_JSON_BYTES": (lambda n: item(attributes=json_of(n)), "JSON_TOO_LARGE"),
    "MAX_JSON_BYTES": (
        lambda n: catalog.UpsertUsersRequest(users=[catalog.User(id="limit-0", attributes=json_of(n))]),
        "JSON_TOO_LARGE",
    ),
}
"""What is refused in its row."""
BY_ITSELF = {
    "MAX_MESSAGE_BYTES": "test_limits.py",
    "MAX_BATCH_NUMBER": "test_limits.py",
    "MAX_PAGE_SIZE": "test_limits.py",
    "MAX_MODELS_PAGE_SIZE": "test_limits.py",
    "MAX_HISTORY_EVENTS": "test_limits.py",
    "DEFAULT_K": "test_limits.py",
    "DEFAULT_DEADLINE_MS": "test_deadlines.py",
    "MAX_STREAMS": "test_event_stream.py",
    "MAX_UNACKNOWLEDGED_BATCHES": "test_event_stream.py",
}
"""Where another test says `limits.NAME`."""


def test_every_limit_is_published(served: "Served") -> None:
    published = served.client.get_server_info().limits
    assert {field.name.upper(): getattr(published, field.name) for field in published.DESCRIPTOR.fields} == NUMBERS


def test_every_limit_is_tested() -> None:
    assert {*ONE_REQUEST, *ONE_ROW, *BY_ITSELF} == set(NUMBERS)
    for name, file in BY_ITSELF.items():
        assert (
            f"limits.{name}" in Path(__file__).with_name(file).read_text()
            or f'limits, "{name}"' in Path(__file__).with_name(file).read_text()
        )


@pytest.mark.parametrize("name", ONE_REQUEST)
def test_a_request_may_hold_so_much_and_no_more(served: "Served", name: str) -> None:
    request, reason = ONE_REQUEST[name]
    served.client.call(request(NUMBERS[name]))
    with pytest.raises(InvalidArgumentError) as caught:
        served.client.call(request(NUMBERS[name] + 1))
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ONE_ROW)
def test_a_row_may_hold_so_much_and_no_more(served: "Served", name: str) -> None:
    request, reason = ONE_ROW[name]
    assert [row.reason for row in _outcomes(served.client.call(request(NUMBERS[name])))] == [""]
    assert [row.reason for row in _outcomes(served.client.call(request(NUMBERS[name] + 1)))] == [reason]


def _outcomes(answer: Any) -> Any:
    return answer.outcomes


@pytest.mark.parametrize("rows", ["events", "users"])
def test_what_is_refused_row_by_row_fits_into_the_answer(served: "Served", rows: str) -> None:
    """Ids come back with what became of them, and a request may be full of what is far too long to be one."""
    too_long = ["😀" * 1_040 + name for name in ids(1_000)]
    request: Message
    if rows == "events":
        request = event.RecordEventsRequest(events=[event.Event(event_id=name) for name in too_long])
    else:
        request = catalog.UpsertUsersRequest(users=[catalog.User(id=name) for name in too_long])
    request_bytes = request.ByteSize()
    assert 0.95 * limits.MAX_MESSAGE_BYTES < request_bytes < limits.MAX_MESSAGE_BYTES
    answer = served.client.call(request)
    assert [row.reason for row in _outcomes(answer)] == ["INVALID_ID"] * 1_000
    assert answer.ByteSize() < limits.MAX_MESSAGE_BYTES // 2


def test_a_message_of_the_largest_size_is_read(served: "Served") -> None:
    name = catalog.ListItemsRequest(category="x")
    room = limits.MAX_MESSAGE_BYTES - name.ByteSize() - 3  # a long text has three more bytes of length
    with pytest.raises(InvalidArgumentError):
        served.client.call(catalog.ListItemsRequest(category="x" * (room + 1)))
    with pytest.raises(ResourceExhaustedError):
        served.client.call(catalog.ListItemsRequest(category="x" * (room + 2)))


@pytest.mark.parametrize(
    ("number", "is_taken"), [(limits.MAX_BATCH_NUMBER, True), (limits.MAX_BATCH_NUMBER + 1, False)]
)
def test_batches_are_numbered_up_to_a_limit(served: "Served", number: int, is_taken: bool) -> None:
    sent = event.StreamEventsRequest(batch=number, events=[event.Event()])
    with grpc.insecure_channel(served.target) as channel:
        answers = EventServiceStub(channel).StreamEvents(iter([sent]), timeout=30)
        if is_taken:
            assert [answer.batch for answer in answers] == [number]
        else:
            with pytest.raises(grpc.RpcError) as caught:
                next(answers)
            code: Any = caught.value
            assert code.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_page_has_no_more_rows_however_many_are_asked_for(run: "Callable[[], Running]") -> None:
    running = run()
    upsert_users(running.database, pa.table({"user": ids(limits.MAX_PAGE_SIZE + 1)}))
    page: Any = running.client.call(catalog.ListUsersRequest(page_size=limits.MAX_PAGE_SIZE + 1))
    assert len(page.users) == limits.MAX_PAGE_SIZE
    for _ in range(limits.MAX_MODELS_PAGE_SIZE):
        number = registry.create_model(running.database, config={})
        registry.add_revision(running.database, number, path="none", as_of=0, known_at=0, snapshot_hash="", metrics={})
    page = running.client.call(model.ListModelsRequest(page_size=limits.MAX_MODELS_PAGE_SIZE + 1))
    assert len(page.models) == limits.MAX_MODELS_PAGE_SIZE


def test_an_answer_is_based_on_so_many_of_the_newest_events(run: "Callable[[], Running]") -> None:
    running = run()
    n = limits.MAX_HISTORY_EVENTS + 10
    times = pa.array(range(1_600_000_000_000_000, 1_600_000_000_000_000 + n), pa.int64())
    columns = {"user": ["limit"] * n, "item": ["i1"] * n, "kind": ["view"] * n, "occurred_at": times}
    append_events(running.database, pa.table(columns), source="test")
    assert running.client.recommend("limit", 1).history_events == limits.MAX_HISTORY_EVENTS


def test_k_of_0_has_a_meaning(served: "Served") -> None:
    assert len(served.client.recommend("u1", 0).items) == limits.DEFAULT_K
