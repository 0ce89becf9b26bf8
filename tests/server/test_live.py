"""What is recorded or changed moves the answers within a second; on both engines."""

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import common_pb2 as common
from penchant.v1 import event_pb2 as event
from penchant.v1.embedding_pb2 import EMBEDDING_STATUS_EMPTY, EMBEDDING_STATUS_OK, EMBEDDING_STATUS_UNKNOWN_ID

from graph.storage.kinds import EventKind, upsert_kinds
from graph.storage.times import now_us

if TYPE_CHECKING:
    from tests.server.conftest import Served

ONLY_SEEN = common.ItemFilter(seen=common.SEEN_RULE_ONLY)


def bought(user: str, number: int, item: str, kind: str = "purchase", **fields: Any) -> event.Event:
    """An event of a moment ago, later the higher its number."""
    when = Timestamp()
    when.FromMicroseconds(now_us() - 1_000_000 + number)
    return event.Event(event_id=f"{user}-{number}", user=user, item=item, kind=kind, occurred_at=when, **fields)


def statuses(answer: event.RecordEventsResponse) -> list[int]:
    return [row.status for row in answer.outcomes]


def leading_group(served: "Served", user: str) -> str:
    return next(row.category for row in served.client.get_interests(user, 5).categories if row.category != "c-all")


def test_an_event_moves_the_answer_at_once_and_a_retraction_moves_it_back(anywhere: "Served") -> None:
    client, user = anywhere.client, "mover"
    before = client.recommend(user, 20)
    assert before.history_events == 0
    events = [bought(user, n, item) for n, item in enumerate(["i3", "i7", "i11", "i15"])]
    assert statuses(client.record_events(events)) == [event.EVENT_STATUS_ACCEPTED] * 4
    after = client.recommend(user, 20)
    assert after.history_events == 4
    assert leading_group(anywhere, user) == "c3"
    of_group = [int(row.item[1:]) % 4 == 3 for row in after.items]
    assert sum(of_group) > sum(int(row.item[1:]) % 4 == 3 for row in before.items)
    back = [
        event.Event(user=user, kind="retract", retracts=f"{user}-{n}", event_id=f"{user}-back-{n}") for n in range(4)
    ]
    assert statuses(client.record_events(back)) == [event.EVENT_STATUS_ACCEPTED] * 4
    again = client.recommend(user, 20)
    assert again.items == before.items
    assert again.history_events == 0


def test_each_event_has_its_own_outcome(anywhere: "Served") -> None:
    client = anywhere.client
    good = bought("outcomes", 1, "i1")
    other = bought("outcomes", 1, "i2")
    late = bought("outcomes", 2, "i1")
    late.occurred_at.FromMicroseconds(now_us() + 120_000_000)
    rows = [
        (good, event.EVENT_STATUS_ACCEPTED, ""),
        (good, event.EVENT_STATUS_DUPLICATE, ""),
        (other, event.EVENT_STATUS_CONFLICT, "CONFLICT"),
        (bought("outcomes", 3, "no such item"), event.EVENT_STATUS_UNKNOWN_ITEM, "UNKNOWN_ITEM"),
        (bought("outcomes", 4, "i1", kind="dance"), event.EVENT_STATUS_REJECTED, "UNKNOWN_KIND"),
        (bought("outcomes", 5, "i1", kind=""), event.EVENT_STATUS_REJECTED, "UNKNOWN_KIND"),
        (late, event.EVENT_STATUS_REJECTED, "INVALID_TIME"),
        (bought("outcomes", 6, ""), event.EVENT_STATUS_REJECTED, "INVALID_ID"),
        (bought("", 7, "i1"), event.EVENT_STATUS_REJECTED, "INVALID_ID"),
        (bought("outcomes", 8, "i1", value=float("nan")), event.EVENT_STATUS_REJECTED, "NOT_FINITE"),
        (bought("outcomes", 9, "i1", sequence=-1), event.EVENT_STATUS_REJECTED, "INVALID_VALUE"),
        (bought("outcomes", 10, "", "retract"), event.EVENT_STATUS_REJECTED, "INVALID_ID"),
        (bought("outcomes", 11, "", "retract", retracts="nothing"), event.EVENT_STATUS_REJECTED, "UNKNOWN_EVENT"),
        (bought("other", 12, "", "retract", retracts=good.event_id), event.EVENT_STATUS_REJECTED, "UNKNOWN_EVENT"),
        (bought("outcomes", 13, "i1", value=2.5, session_key="basket"), event.EVENT_STATUS_ACCEPTED, ""),
    ]
    answer = client.record_events([sent for sent, _, _ in rows])
    for (sent, status, reason), row in zip(rows, answer.outcomes, strict=True):
        assert (row.event_id, row.status, row.reason) == (sent.event_id, status, reason)
        assert bool(row.message) == bool(reason)
    assert client.recommend("outcomes", 1).history_events == 2
    again = client.record_events([good, rows[-1][0]])
    assert statuses(again) == [event.EVENT_STATUS_DUPLICATE] * 2


def test_events_that_mean_nothing_to_the_model_are_popularity_alone(anywhere: "Served") -> None:
    client, user = anywhere.client, "newcomer"
    client.record_events([bought(user, 1, "newer-item"), bought(user, 2, "i2", kind="rating", value=2.99999)])
    answer = client.recommend(user, 60)
    assert answer.history_events == 0
    stranger = client.recommend("nobody at all", 60)
    others = [[row.item for row in each.items if row.item != "i2"] for each in (answer, stranger)]
    assert others[0] == others[1]
    assert client.batch_get_embeddings("users", [user]).statuses == [EMBEDDING_STATUS_EMPTY]
    seen = client.recommend(user, 60, item_filter=ONLY_SEEN)
    assert [row.item for row in seen.items] == ["i2"]  # who rates an item low has seen it


def test_a_kind_of_event_that_is_newer_than_the_model_is_left_out(anywhere: "Served") -> None:
    upsert_kinds(anywhere.database, [EventKind(0, "stroke", 1.0, 1, None)])
    client, user = anywhere.client, "stroker"
    client.record_events([bought(user, 1, "i1", kind="stroke"), bought(user, 2, "i2")])
    assert client.recommend(user, 5).history_events == 1


def test_seen_items_reach_back_further_than_the_history(anywhere: "Served") -> None:
    client, user = anywhere.client, "collector"
    client.record_events([bought(user, n, "i0" if n == 0 else "i1") for n in range(1_000)])
    client.record_events([bought(user, n, "i1") for n in range(1_000, 2_000)])
    client.record_events([bought(user, n, "i2") for n in range(2_000, 2_100)])
    answer = client.recommend(user, 60, item_filter=ONLY_SEEN)
    assert answer.history_events == 2_000
    assert {row.item for row in answer.items} == {"i0", "i1", "i2"}
    unseen = client.recommend(user, 60, item_filter=common.ItemFilter(seen=common.SEEN_RULE_EXCLUDE))
    assert len(unseen.items) == 56


def test_an_unavailable_item_vanishes_and_comes_back(anywhere: "Served", eventually: Any) -> None:
    client = anywhere.client
    best = client.recommend("u9", 1).items[0].item
    client.upsert_items([catalog.Item(id=best, available=False)], fields=["available"])
    eventually(lambda: best not in {row.item for row in client.recommend("u9", 60).items})
    assert best not in {each.id for each in client.find_similar("items", user="u9", k=60).neighbours}
    wanted = common.ItemFilter(include_unavailable=True)
    assert client.recommend("u9", 1, item_filter=wanted).items[0].item == best
    client.upsert_items([catalog.Item(id=best, available=True)], fields=["available"])
    eventually(lambda: client.recommend("u9", 1).items[0].item == best)
    assert client.get_item(best).categories


def test_a_category_that_moves_takes_its_items_along(anywhere: "Served", eventually: Any) -> None:
    client = anywhere.client
    new = [catalog.Category(id="moved-top"), catalog.Category(id="moved", parent="moved-top")]
    client.upsert_categories(new)
    client.upsert_items([catalog.Item(id="i50", categories=["c2", "moved"])], fields=["categories"])
    within = common.ItemFilter(categories_in=["moved-top"])
    eventually(lambda: [row.item for row in client.recommend("u1", 9, item_filter=within).items] == ["i50"])
    client.upsert_categories([catalog.Category(id="moved", parent="")])
    eventually(lambda: not client.recommend("u1", 9, item_filter=within).items)
    client.upsert_items([catalog.Item(id="i50", categories=["c2"])], fields=["categories"])


def test_a_deleted_user_is_answered_like_a_new_one(anywhere: "Served") -> None:
    client, user = anywhere.client, "leaver"
    client.upsert_users([catalog.User(id=user, attributes=json_format.ParseDict({"age": 40}, Struct()))])
    client.record_events([bought(user, n, "i1") for n in range(3)])
    assert client.batch_get_embeddings("users", [user]).statuses == [EMBEDDING_STATUS_OK]
    assert client.delete_user(user)
    assert not client.delete_user(user)
    assert client.recommend(user, 10).items == client.recommend("nobody at all", 10).items
    assert client.recommend(user, 10, item_filter=ONLY_SEEN).items == []
    assert not client.get_user(user).attributes.fields
    states = client.batch_get_embeddings("users", [user, "nobody at all"]).statuses
    assert states == [EMBEDDING_STATUS_EMPTY, EMBEDDING_STATUS_UNKNOWN_ID]


def test_a_user_first_seen_after_training_gets_segments(anywhere: "Served") -> None:
    client, user = anywhere.client, "late comer"
    like = max(client.assign_segments(["u8"]).assignments[0].segments, key=lambda part: part.weight).segment
    client.record_events([bought(user, n, f"i{4 * n}") for n in range(12)])
    mine, stranger = client.assign_segments([user, "nobody at all"]).assignments
    assert mine.history_events == 12
    assert sum(part.weight for part in mine.segments) == pytest.approx(1, abs=1e-5)
    assert mine.segments[0].segment == like
    assert (stranger.history_events, list(stranger.segments)) == (0, [])
