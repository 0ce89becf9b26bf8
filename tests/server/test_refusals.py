"""Whatever a caller sends gets the right code, a reason and a sentence; never UNKNOWN or INTERNAL."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from penchant.rpcs import RPCS, Rpc
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1 import embedding_pb2 as embedding
from penchant.v1 import event_pb2 as event
from penchant.v1 import interest_pb2 as interest
from penchant.v1 import model_pb2 as model
from penchant.v1 import segment_pb2 as segment
from penchant.v1 import similarity_pb2 as similarity

from tests.server.fuzzer import Ended

if TYPE_CHECKING:
    from tests.server.conftest import Served

Send = Callable[[Rpc, bytes], Ended]


def _raw(channel: grpc.Channel, rpc: Rpc) -> Any:
    """The rpc as bytes in, bytes out."""
    if rpc.uploads:
        duplex: Any = channel.stream_stream(rpc.path)
        return lambda data, timeout: duplex(iter([data]), timeout=timeout)
    return channel.unary_stream(rpc.path) if rpc.streams else channel.unary_unary(rpc.path)


def name_of(value: object) -> str | None:
    return value.DESCRIPTOR.name if isinstance(value, Message) else None


@pytest.fixture
def send(anywhere: "Served") -> Any:
    """Sends raw bytes to any rpc."""
    with grpc.insecure_channel(anywhere.target) as channel:

        def one(rpc: Rpc, data: bytes) -> Ended:
            try:
                answer = _raw(channel, rpc)(data, timeout=30)
                if rpc.streams:
                    list(answer)
            except grpc.RpcError as error:
                return Ended(error)
            return Ended(None)

        yield one


@pytest.mark.parametrize("rpc", RPCS.values(), ids=list(RPCS))
def test_bytes_that_are_no_message_are_the_callers(send: Send, rpc: Rpc) -> None:
    for data in (b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x02\xff\xfe"):
        ended = send(rpc, data)
        if not rpc.request.DESCRIPTOR.fields and data != b"\xff\xff\xff":
            assert ended.code in (grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT)
            continue
        ended.check(data)
    assert send(rpc, b"\xff\xff\xff").reason == "UNDECODABLE_REQUEST"


@pytest.mark.parametrize("rpc", RPCS.values(), ids=list(RPCS))
def test_an_empty_request_is_answered_or_refused(send: Send, rpc: Rpc) -> None:
    ended = send(rpc, b"")
    ended.check("an empty request")
    is_fine = (rpc.name.startswith("List") and rpc.name != "ListMembers") or rpc.name in (
        "GetServerInfo",
        "RollbackModel",
    )
    if not is_fine:
        assert ended.code is grpc.StatusCode.INVALID_ARGUMENT
        assert ended.fields


def ids(n: int) -> list[str]:
    return [f"x{n}" for n in range(n)]


def with_filter(**fields: Any) -> interest.RecommendRequest:
    return interest.RecommendRequest(user="u1", filter=common.ItemFilter(**fields))


LONG = "x" * 257
REFUSED: list[tuple[Message, str, str]] = [
    (interest.ScoreRequest(user="u1"), "EMPTY_REQUEST", "items"),
    (interest.ScoreRequest(user="u1", items=ids(1_001)), "TOO_MANY_ROWS", "items"),
    (interest.ScoreRequest(user=LONG, items=["i1"]), "INVALID_ID", "user"),
    (interest.ScoreRequest(user="u\n1", items=["i1"]), "INVALID_ID", "user"),
    (interest.ScoreRequest(user="u1", items=["i1", "i\0"]), "INVALID_ID", "items[1]"),
    (interest.RecommendRequest(user="u1", k=1_001), "K_TOO_LARGE", "k"),
    (interest.RecommendRequest(user="", k=1), "INVALID_ID", "user"),
    (
        with_filter(categories_in=ids(101)),
        "TOO_MANY_ROWS",
        "filter.categories_in",
    ),
    (
        with_filter(items_out=ids(1_001)),
        "TOO_MANY_ROWS",
        "filter.items_out",
    ),
    (
        with_filter(items_out=[LONG]),
        "INVALID_ID",
        "filter.items_out[0]",
    ),
    (with_filter(seen=77), "UNKNOWN_SEEN_RULE", "filter.seen"),
    (interest.GetInterestsRequest(user="u1", k=2**32 - 1), "K_TOO_LARGE", "k"),
    (interest.GetInterestsRequest(user="u1", view=9), "UNKNOWN_VIEW", "view"),  # type: ignore[arg-type]  # no such view: refused
    (similarity.FindSimilarRequest(target=common.ENTITY_KIND_ITEM), "NO_SOURCE", "source"),
    (similarity.FindSimilarRequest(item="i1"), "UNKNOWN_ENTITY_KIND", "target"),
    (similarity.FindSimilarRequest(item="i1", target=9), "UNKNOWN_ENTITY_KIND", "target"),  # type: ignore[arg-type]  # no such target: refused
    (similarity.FindSimilarRequest(vector={"values": [1]}, target=2), "NO_VECTOR_SPACE", "vector.vector_space"),  # type: ignore[arg-type]  # a dict is taken too
    (segment.ListSegmentsRequest(page_size=-1), "INVALID_PAGE_SIZE", "page_size"),
    (segment.ListSegmentsRequest(page_token="nonsense"), "INVALID_TOKEN", "page_token"),
    (segment.AssignSegmentsRequest(users=ids(101)), "TOO_MANY_ROWS", "users"),
    (segment.AssignSegmentsRequest(users=["u1", ""]), "INVALID_ID", "users[1]"),
    (embedding.BatchGetEmbeddingsRequest(kind=2, ids=ids(1_001)), "TOO_MANY_ROWS", "ids"),  # type: ignore[arg-type]  # enums by number
    (embedding.BatchGetEmbeddingsRequest(kind=2, ids=["i1"], element_type=9), "UNKNOWN_ELEMENT_TYPE", "element_type"),  # type: ignore[arg-type]  # no such type: refused
    (embedding.ExportEmbeddingsRequest(), "UNKNOWN_ENTITY_KIND", "kind"),
    (embedding.ExportEmbeddingsRequest(kind=1, resume_token="nonsense"), "INVALID_TOKEN", "resume_token"),  # type: ignore[arg-type]  # enums by number
    (event.RecordEventsRequest(events=[event.Event()] * 1_001), "TOO_MANY_ROWS", "events"),
    (event.StreamEventsRequest(batch=1, events=[event.Event()] * 1_001), "TOO_MANY_ROWS", "events"),
    (event.StreamEventsRequest(batch=7), "EMPTY_REQUEST", "events"),
    (event.StreamEventsRequest(events=[event.Event()]), "INVALID_BATCH", "batch"),
    (event.StreamEventsRequest(batch=2**64 - 1, events=[event.Event()]), "INVALID_BATCH", "batch"),
    (catalog.UpsertItemsRequest(items=[catalog.Item(id="a")] * 2), "DUPLICATE_ID", "items"),
    (catalog.UpsertItemsRequest(items=[catalog.Item(id=name) for name in ids(1_001)]), "TOO_MANY_ROWS", "items"),
    (
        catalog.UpsertItemsRequest(items=[catalog.Item(id="a")], update_mask=FieldMask(paths=["price"])),
        "UNKNOWN_FIELD",
        "update_mask",
    ),
    (catalog.ListUsersRequest(page_size=-(2**31)), "INVALID_PAGE_SIZE", "page_size"),
    (catalog.GetItemRequest(item=LONG), "INVALID_ID", "item"),
    (catalog.ListItemsRequest(category="a\tb"), "INVALID_ID", "category"),
    (model.ListModelsRequest(page_token="%%%"), "INVALID_TOKEN", "page_token"),
    (model.ActivateModelRequest(version="m1.1", reason="x" * 1_025), "TEXT_TOO_LONG", "reason"),
    (model.RollbackModelRequest(reason="a\0b"), "INVALID_TEXT", "reason"),
    (model.SetLabelRequest(label="stable", version="m1.1"), "LABEL_RESERVED", "label"),
    (model.SetLabelRequest(label="Canary!", version="m1.1"), "INVALID_LABEL", "label"),
    (model.SetLabelRequest(label="canary", version="7.1"), "INVALID_VERSION", "version"),
    (model.SetLabelRequest(label="canary", version="m1.1", share=1.5), "INVALID_SHARE", "share"),
    (model.DeleteLabelRequest(label="stable"), "LABEL_RESERVED", "label"),
]


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    REFUSED,
    ids=name_of,
)
def test_the_field_that_is_wrong_is_named(served: "Served", request_: Message, reason: str, field: str) -> None:
    rpc = next(rpc for rpc in RPCS.values() if isinstance(request_, rpc.request))
    with grpc.insecure_channel(served.target) as channel, pytest.raises(grpc.RpcError) as caught:
        list(_raw(channel, rpc)(request_.SerializeToString(), timeout=30))
    ended = Ended(caught.value)
    assert (ended.code, ended.reason, ended.fields) == (grpc.StatusCode.INVALID_ARGUMENT, reason, [field])


def test_a_message_that_is_too_large_is_told(served: "Served") -> None:
    with grpc.insecure_channel(served.target) as channel, pytest.raises(grpc.RpcError) as caught:
        _raw(channel, RPCS["GetServerInfo"])(b"\0" * (4 * 1_024 * 1_024 + 1), timeout=30)
    code: Any = caught.value
    assert code.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_bug_is_internal_and_says_where_to_look(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a secret of ours")

    running = run()
    monkeypatch.setattr("server.engine.Engine.past", broken)
    monkeypatch.setattr("server.servicers.embedding.list_users", broken)
    with grpc.insecure_channel(running.target) as channel:
        for name, request in (
            ("Recommend", interest.RecommendRequest(user="u1")),
            ("ExportEmbeddings", embedding.ExportEmbeddingsRequest(kind=common.ENTITY_KIND_USER)),
        ):
            rpc = RPCS[name]
            with pytest.raises(grpc.RpcError) as caught:
                list(_raw(channel, rpc)(request.SerializeToString(), timeout=30))
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.INTERNAL
            assert "under request" in error.details()
            assert "secret" not in error.details()
