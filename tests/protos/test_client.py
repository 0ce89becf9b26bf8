"""Every method of the client asks its rpc what its arguments say, and gives back what the server answered."""

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, assert_type

import grpc
import penchant
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from penchant import (
    AsyncPenchantClient,
    Category,
    EmbeddingChunk,
    Event,
    Item,
    ItemFilter,
    PenchantClient,
    SeenRule,
    User,
)
from penchant.rpcs import RPCS, find
from penchant.transport import OPTIONS
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1 import interest_pb2 as interest
from penchant.v1 import model_pb2 as model
from penchant.v1 import segment_pb2 as segment
from penchant.v1 import server_pb2 as server
from penchant.v1 import similarity_pb2 as similarity
from penchant.v1.event_pb2 import RecordEventsResponse

if TYPE_CHECKING:
    from tests.protos.conftest import FakeServer, Running

FILTER = ItemFilter(categories_in=["c"], seen=SeenRule.SEEN_RULE_EXCLUDE)

CALLS: list[tuple[Callable[[PenchantClient], Any], Message]] = [
    (lambda c: c.score("u", ["a", "b"]), interest.ScoreRequest(user="u", items=["a", "b"])),
    (
        lambda c: c.recommend("u", k=5, item_filter=FILTER, skip_contributions=True),
        interest.RecommendRequest(user="u", k=5, filter=FILTER, skip_contributions=True),
    ),
    (
        lambda c: c.get_interests("u", with_vectors=True),
        interest.GetInterestsRequest(user="u", k=10, view=interest.INTEREST_VIEW_FULL),
    ),
    (
        lambda c: c.find_similar("users", user="u", k=3),
        similarity.FindSimilarRequest(user="u", target=common.ENTITY_KIND_USER, k=3),
    ),
    (
        lambda c: c.find_similar("items", category="c", item_filter=FILTER),
        similarity.FindSimilarRequest(category="c", target=common.ENTITY_KIND_ITEM, k=10, filter=FILTER),
    ),
    (
        lambda c: c.find_similar("categories", vector=("space-1", [0.5, 2])),
        similarity.FindSimilarRequest(
            vector=similarity.QueryVector(vector_space="space-1", values=[0.5, 2]),
            target=common.ENTITY_KIND_CATEGORY,
            k=10,
        ),
    ),
    (lambda c: list(c.list_segments()), segment.ListSegmentsRequest()),
    (lambda c: c.get_segment("s"), segment.GetSegmentRequest(segment="s")),
    (lambda c: list(c.list_members("s")), segment.ListMembersRequest(segment="s", page_size=1_000)),
    (lambda c: c.assign_segments(["u"]), segment.AssignSegmentsRequest(users=["u"])),
    (
        lambda c: c.upsert_items([Item(id="i")], fields=["name"]),
        catalog.UpsertItemsRequest(items=[Item(id="i")], update_mask=FieldMask(paths=["name"])),
    ),
    (lambda c: c.get_item("i"), catalog.GetItemRequest(item="i")),
    (lambda c: list(c.list_items(category="c")), catalog.ListItemsRequest(category="c", page_size=1_000)),
    (lambda c: c.delete_item("i"), catalog.DeleteItemRequest(item="i")),
    (
        lambda c: c.upsert_categories([Category(id="c")]),
        catalog.UpsertCategoriesRequest(categories=[Category(id="c")]),
    ),
    (lambda c: c.get_category("c"), catalog.GetCategoryRequest(category="c")),
    (lambda c: list(c.list_categories(parent="c")), catalog.ListCategoriesRequest(parent="c", page_size=1_000)),
    (lambda c: c.delete_category("c"), catalog.DeleteCategoryRequest(category="c")),
    (lambda c: c.upsert_users([User(id="u")]), catalog.UpsertUsersRequest(users=[User(id="u")])),
    (lambda c: c.get_user("u"), catalog.GetUserRequest(user="u")),
    (lambda c: list(c.list_users()), catalog.ListUsersRequest(page_size=1_000)),
    (lambda c: c.delete_user("u"), catalog.DeleteUserRequest(user="u")),
    (lambda c: list(c.list_models()), model.ListModelsRequest()),
    (lambda c: c.get_model("m7"), model.GetModelRequest(model="m7")),
    (
        lambda c: c.activate_model("m7.1", force=True, reason="why"),
        model.ActivateModelRequest(version="m7.1", force=True, reason="why"),
    ),
    (
        lambda c: c.rollback_model(reason="why", from_version="m7.1"),
        model.RollbackModelRequest(reason="why", from_version="m7.1"),
    ),
    (lambda c: c.list_labels(), model.ListLabelsRequest()),
    (
        lambda c: c.set_label("canary", "m7.1", share=0.05),
        model.SetLabelRequest(label="canary", version="m7.1", share=0.05),
    ),
    (lambda c: c.delete_label("canary"), model.DeleteLabelRequest(label="canary")),
    (lambda c: c.get_server_info(), server.GetServerInfoRequest()),
]


@pytest.mark.parametrize(("call", "request_sent"), CALLS, ids=[type(sent).__name__ for _, sent in CALLS])
def test_a_method_sends_the_request_that_its_arguments_say(
    call: Callable[[PenchantClient], Any], request_sent: Message, client: PenchantClient, fake: "FakeServer"
) -> None:
    rpc = find(request_sent)
    fake.answers(rpc.name, rpc.response())
    call(client)
    assert fake.asked[rpc.name] == [request_sent]
    assert 9 < fake.deadlines_s[0] <= 10.1, "every call has a deadline"


def test_every_rpc_has_a_method() -> None:
    tested_elsewhere = {"RecordEvents", "StreamEvents", "BatchGetEmbeddings", "ExportEmbeddings"}
    assert {find(sent).name for _, sent in CALLS} | tested_elsewhere == set(RPCS)


def test_lists_follow_the_page_tokens(client: PenchantClient, fake: "FakeServer") -> None:
    fake.answers("ListItems", catalog.ListItemsResponse(items=[Item(id="a"), Item(id="b")], next_page_token="after b"))
    fake.answers("ListItems", catalog.ListItemsResponse(items=[Item(id="c")]))
    assert [item.id for item in client.list_items()] == ["a", "b", "c"]
    assert [asked.page_token for asked in fake.asked["ListItems"]] == ["", "after b"]


def test_a_list_reads_no_page_before_it_is_needed(client: PenchantClient, fake: "FakeServer") -> None:
    fake.answers("ListItems", catalog.ListItemsResponse(items=[Item(id="a")], next_page_token="after a"))
    assert next(client.list_items()).id == "a"
    assert len(fake.asked["ListItems"]) == 1


def test_any_request_can_be_called(client: PenchantClient, fake: "FakeServer") -> None:
    answer = interest.RecommendResponse(model_version="m7.12")
    fake.answers("Recommend", answer)
    assert client.call(interest.RecommendRequest(user="u")) == answer


@pytest.mark.parametrize("no_request", [Item(), RPCS["ExportEmbeddings"].request()], ids=["item", "stream"])
def test_what_is_no_unary_request_is_refused(no_request: Message, client: PenchantClient) -> None:
    with pytest.raises(TypeError):
        client.call(no_request)


@pytest.mark.parametrize("sources", [{}, {"user": "u", "item": "i"}])
def test_find_similar_starts_from_exactly_one(sources: dict[str, str], client: PenchantClient) -> None:
    with pytest.raises(TypeError, match="exactly one of user, item, category and vector"):
        client.find_similar("items", **sources)  # type: ignore[arg-type]  # names of several types


def test_events_get_an_id_and_a_time_but_keep_their_own(client: PenchantClient, fake: "FakeServer") -> None:
    own = Event(event_id="mine", user="u", item="i", kind="view")
    own.occurred_at.FromSeconds(1_700_000_000)
    bare = Event(user="u", item="i", kind="view")
    fake.answers("RecordEvents", RecordEventsResponse())
    client.record_events([own, bare])
    first, second = fake.asked["RecordEvents"][0].events
    assert first == own
    assert second.event_id
    assert second.HasField("occurred_at")
    assert not bare.event_id, "the caller's message stays as it was"


def test_the_channel_keeps_the_message_limit_and_spreads_calls() -> None:
    options = dict(OPTIONS)
    assert options["grpc.max_receive_message_length"] == 4 * 2**20
    assert "round_robin" in str(options["grpc.service_config"])


def test_a_message_too_large_is_refused_at_once(client: PenchantClient, fake: "FakeServer") -> None:
    with pytest.raises(penchant.ResourceExhaustedError):
        client.score("u", ["x" * 1_000_000] * 5)
    assert fake.asked == {}


def test_a_closed_client_says_so(client: PenchantClient) -> None:
    client.close()
    with pytest.raises(ValueError, match="closed channel"):
        client.get_server_info()


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    def methods(kind: type) -> dict[str, str]:
        public = {name: getattr(kind, name) for name in dir(kind) if not name.startswith("_")}
        return {name: ", ".join(inspect.signature(method).parameters) for name, method in public.items()}

    assert methods(PenchantClient) == methods(AsyncPenchantClient)
    assert PenchantClient.score.__doc__ == AsyncPenchantClient.score.__doc__
    assert (PenchantClient.score.__doc__ or "").startswith("Scores up to 1,000 items")


def test_type_checkers_see_what_each_client_gives_back(client: PenchantClient, fake: "FakeServer") -> None:
    """mypy checks this file: each `assert_type` is wrong there or not at all."""
    fake.answers("GetItem", catalog.GetItemResponse(item=Item(id="i")))
    assert_type(client.get_item("i"), Item)
    assert_type(client.list_items(), Iterator[Item])

    async def wait(client: AsyncPenchantClient) -> None:
        assert_type(await client.get_item("i"), Item)
        assert_type(await client.score("u", ["i"]), interest.ScoreResponse)
        assert_type([item async for item in client.list_items()], list[Item])
        assert_type([chunk async for chunk in client.export_embeddings("users")], list[EmbeddingChunk])

    assert inspect.iscoroutinefunction(wait)


def test_credentials_are_used(running: "Running", pauses: list[float]) -> None:
    secure = PenchantClient(running.target, credentials=grpc.ssl_channel_credentials(), retries=0)
    with secure, pytest.raises(penchant.UnavailableError):
        secure.get_server_info()
