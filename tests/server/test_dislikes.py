"""Dislikes and ratings through RecordEvents: what the next answers say."""

import math
from typing import TYPE_CHECKING, Any

import pytest
from penchant.v1 import common_pb2 as common
from penchant.v1 import event_pb2 as event

from graph.storage.kinds import EventKind, upsert_kinds
from graph.storage.times import now_us

if TYPE_CHECKING:
    from tests.server.conftest import Served

ITEMS = [f"i{i}" for i in range(60)]


def said(user: str, number: int, item: str, kind: str, value: float | None = None) -> event.Event:
    made = event.Event(event_id=f"{user}-{number}", user=user, item=item, kind=kind)
    made.occurred_at.FromMicroseconds(now_us() - 1_000_000 + number)
    if value is not None:
        made.value = value
    return made


def likes_group_3(served: "Served", user: str) -> None:
    served.client.record_events([said(user, n, f"i{3 + 4 * n}", "purchase") for n in range(5)])


def scores(served: "Served", user: str) -> dict[str, float]:
    answer = served.client.score(user, ITEMS)
    assert sum(row.probability for row in answer.scores) == pytest.approx(1, rel=1e-3)
    for row in answer.scores:
        assert sum(part.share for part in row.contributions) == pytest.approx(row.probability, rel=1e-4)
    return {row.item: row.score for row in answer.scores}


def test_a_dislike_moves_the_next_answer_and_a_purchase_takes_it_back(anywhere: "Served") -> None:
    client, user = anywhere.client, "disliker"
    likes_group_3(anywhere, user)
    best = client.recommend(user, 1).items[0].item
    before = scores(anywhere, user)
    client.record_events([said(user, 10, best, "dislike")])
    after = scores(anywhere, user)
    assert after[best] < before[best] - 3
    recommended = client.recommend(user, 60, item_filter=common.ItemFilter(include_unavailable=True))
    assert {row.item: pytest.approx(row.score, rel=1e-4) for row in recommended.items} == after
    assert recommended.history_events == 5
    assert best not in [row.item for row in recommended.items[:10]]
    client.record_events([said(user, 11, best, "purchase")])
    assert scores(anywhere, user)[best] > after[best] + 3


def test_stars_are_kept_in_order(anywhere: "Served") -> None:
    """One user for each rating of the same item, who are equal otherwise: the item, and the others of its group."""
    found, group = [], []
    for stars in (1.0, 2.0, 3.0, 5.0):
        user = f"rates {stars}"
        likes_group_3(anywhere, user)
        anywhere.client.record_events([said(user, 10, "i21", "rating", stars)])
        after = scores(anywhere, user)
        found.append(after["i21"])
        group.append(sum(math.exp(score) for item, score in after.items() if int(item[1:]) % 4 == 1 and item != "i21"))
        assert anywhere.client.recommend(user, 1).history_events == (5 if stars < 3 else 6)
    assert found[:3] == sorted(found[:3])
    assert group[:3] == sorted(group[:3])  # with five stars the item itself takes of its group
    assert found[1] - found[0] > 1
    assert found[2] - found[1] > 1


def test_a_kind_that_the_model_never_saw_may_speak_against_an_item(anywhere: "Served", eventually: Any) -> None:
    upsert_kinds(anywhere.database, [EventKind(0, "sent_back", 0.5, -1, None)])
    user = "returner"
    likes_group_3(anywhere, user)
    before = scores(anywhere, user)
    anywhere.client.record_events([said(user, 10, "i11", "sent_back")])
    eventually(lambda: scores(anywhere, user)["i11"] < before["i11"] - 1)


def test_kinds_weigh_what_the_store_says_now(anywhere: "Served", eventually: Any) -> None:
    """No model is trained for it: how much a kind says is read with the catalog."""
    client, user = anywhere.client, "skipper"
    upsert_kinds(anywhere.database, [EventKind(0, "skip", 0.1, -1, None)])
    likes_group_3(anywhere, user)
    client.record_events([said(user, 10, "i15", "skip")])
    little = scores(anywhere, user)["i15"]
    upsert_kinds(anywhere.database, [EventKind(0, "skip", 1.0, -1, None)])
    eventually(lambda: scores(anywhere, user)["i15"] < little - 2)
