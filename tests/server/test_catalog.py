"""Items, categories and users through the contract, on both engines."""

from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp
from penchant.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from penchant.v1 import catalog_pb2 as catalog

if TYPE_CHECKING:
    from tests.server.conftest import Served

CREATED, UPDATED = catalog.UPSERT_STATUS_CREATED, catalog.UPSERT_STATUS_UPDATED
UNCHANGED, REJECTED = catalog.UPSERT_STATUS_UNCHANGED, catalog.UPSERT_STATUS_REJECTED


def struct(value: dict[str, Any]) -> Struct:
    message = Struct()
    message.update(value)
    return message


def told(answer: Any) -> list[tuple[str, int, str]]:
    for row in answer.outcomes:
        assert bool(row.message) == bool(row.reason) == (row.status == REJECTED)
    return [(row.id, row.status, row.reason) for row in answer.outcomes]


def test_an_item_is_what_was_said_of_it(anywhere: "Served") -> None:
    client = anywhere.client
    lamp = catalog.Item(
        id="lamp-ü",
        name="Lamp",
        categories=["c1", "c0"],
        attributes=struct({"watts": 5, "tags": ["a"], "image": [0.25, -1.5] * 750}),
    )
    assert told(client.upsert_items([lamp])) == [("lamp-ü", CREATED, "")]
    assert told(client.upsert_items([lamp])) == [("lamp-ü", UNCHANGED, "")]
    found = client.get_item("lamp-ü")
    assert (found.name, list(found.categories), found.available) == ("Lamp", ["c0", "c1"], True)
    assert found.attributes["watts"] == 5
    assert json_format.MessageToDict(found.attributes)["image"] == [0.25, -1.5] * 750
    assert not found.HasField("valid_from")  # nothing was known of it before: so it always was
    assert told(client.upsert_items([catalog.Item(id="lamp-ü", name="Lamp 2")], fields=["name"])) == [
        ("lamp-ü", UPDATED, "")
    ]
    found = client.get_item("lamp-ü")
    assert (found.name, list(found.categories), found.attributes["watts"]) == ("Lamp 2", ["c0", "c1"], 5)
    assert found.HasField("valid_from")
    client.upsert_items([catalog.Item(id="lamp-ü", available=False)])  # without a mask everything is overwritten
    found = client.get_item("lamp-ü")
    assert (found.name, list(found.categories), found.available) == ("", [], False)
    assert client.delete_item("lamp-ü")
    assert not client.delete_item("lamp-ü")
    assert not client.delete_item("never there")
    with pytest.raises(NotFoundError) as caught:
        client.get_item("lamp-ü")
    assert caught.value.reason == "UNKNOWN_ITEM"
    assert told(client.upsert_items([lamp])) == [("lamp-ü", CREATED, "")]
    client.delete_item("lamp-ü")


def test_each_row_is_refused_on_its_own(anywhere: "Served") -> None:
    tomorrow = Timestamp()
    tomorrow.GetCurrentTime()
    tomorrow.seconds += 86_400
    rows = [
        (catalog.Item(id="fine"), CREATED, ""),
        (catalog.Item(id="lost", categories=["no such category"]), REJECTED, "UNKNOWN_CATEGORY"),
        (catalog.Item(id="early", valid_from=tomorrow), REJECTED, "INVALID_TIME"),
        (catalog.Item(id="broken", valid_from=Timestamp(seconds=2**62)), REJECTED, "INVALID_TIME"),
        (catalog.Item(id="long", name="x" * 1_025), REJECTED, "TEXT_TOO_LONG"),
        (catalog.Item(id="nul", name="a\0b"), REJECTED, "INVALID_TEXT"),
        (catalog.Item(id="nan", attributes=struct({"x": float("nan")})), REJECTED, "NOT_FINITE"),
        (catalog.Item(id="large", attributes=struct({"x": "y" * 70_000})), REJECTED, "JSON_TOO_LARGE"),
        (catalog.Item(id="many", categories=[f"c{n}" for n in range(33)]), REJECTED, "TOO_MANY_ROWS"),
        (catalog.Item(id="bad\nid"), REJECTED, "INVALID_ID"),
        (catalog.Item(id=""), REJECTED, "INVALID_ID"),
        (catalog.Item(id="x" * 257), REJECTED, "INVALID_ID"),
    ]
    answer = anywhere.client.upsert_items([row for row, _, _ in rows])
    assert told(answer) == [(row.id[:256], status, reason) for row, status, reason in rows]
    all_bad = anywhere.client.upsert_items([catalog.Item(id="bad\nid")])
    assert [row.reason for row in all_bad.outcomes] == ["INVALID_ID"]
    anywhere.client.delete_item("fine")


def test_a_category_is_taken_out_only_when_empty(anywhere: "Served") -> None:
    client = anywhere.client
    below = catalog.Category(id="t-below", parent="t-above")  # before its parent
    assert told(client.upsert_categories([below, catalog.Category(id="t-above", name="Above")])) == [
        ("t-below", CREATED, ""),
        ("t-above", CREATED, ""),
    ]
    assert [each.id for each in client.list_categories(parent="t-above")] == ["t-below"]
    assert client.get_category("t-below").parent == "t-above"
    circle = client.upsert_categories([catalog.Category(id="t-above", parent="t-below")])
    assert told(circle) == [("t-above", REJECTED, "CATEGORY_CYCLE")]
    assert "t-above" in circle.outcomes[0].message
    client.upsert_items([catalog.Item(id="t-item", categories=["t-below"])])
    assert [each.id for each in client.list_items(category="t-above")] == ["t-item"]
    for category in ("t-above", "t-below"):
        with pytest.raises(FailedPreconditionError) as caught:
            client.delete_category(category)
        assert caught.value.reason == "CATEGORY_NOT_EMPTY"
    client.delete_item("t-item")
    assert client.delete_category("t-below")
    assert not client.delete_category("t-below")
    assert client.delete_category("t-above")
    with pytest.raises(NotFoundError) as not_found:
        client.get_category("t-above")
    assert not_found.value.reason == "UNKNOWN_CATEGORY"


def test_a_long_cycle_does_not_blow_up_the_answer(served: "Served") -> None:
    names = [f"{'x' * 240}-{n}" for n in range(100)]
    ring = [catalog.Category(id=name, parent=names[n - 1]) for n, name in enumerate(names)]
    answer = served.client.upsert_categories(ring)
    assert {row.reason for row in answer.outcomes} == {"CATEGORY_CYCLE"}
    assert answer.ByteSize() < 100_000


def test_users_are_what_was_said_of_them(anywhere: "Served") -> None:
    client = anywhere.client
    user = catalog.User(id="t-user", attributes=struct({"age": 40}))
    assert told(client.upsert_users([user])) == [("t-user", CREATED, "")]
    assert told(client.upsert_users([user])) == [("t-user", UNCHANGED, "")]
    user.attributes["age"] = 41
    assert told(client.upsert_users([user], fields=["attributes"])) == [("t-user", UPDATED, "")]
    assert client.get_user("t-user").attributes["age"] == 41
    with pytest.raises(NotFoundError) as caught:
        client.get_user("nobody at all")
    assert caught.value.reason == "UNKNOWN_USER"


@pytest.mark.parametrize("size", [1, 7, 1_000])
def test_pages_hold_each_once_whatever_their_size(anywhere: "Served", size: int) -> None:
    client = anywhere.client
    items = [each.id for each in client.list_items(page_size=size, category="c-all")]
    assert items == sorted(items)
    assert {f"i{i}" for i in range(58)} <= set(items)
    assert len(items) == len(set(items))
    users = [each.id for each in client.list_users(page_size=max(size, 5))]
    assert users == sorted(users)
    assert {f"u{u}" for u in range(64)} <= set(users)
    assert {"c-all", "c0", "c-empty"} <= {each.id for each in client.list_categories(page_size=size)}
    assert list(client.list_items(category="no such category")) == []


def test_what_is_added_between_pages_neither_repeats_nor_hides_another(anywhere: "Served") -> None:
    client = anywhere.client
    listing = client.list_items(page_size=3)
    first = [next(listing).id for _ in range(3)]
    client.upsert_items([catalog.Item(id="!first of all"), catalog.Item(id="i3-between")])
    rest = [each.id for each in listing]
    assert "!first of all" not in rest
    assert "i3-between" in rest
    assert not set(first) & set(rest)
    assert {f"i{i}" for i in range(58)} <= {*first, *rest}
    for item in ("!first of all", "i3-between"):
        client.delete_item(item)


def test_a_token_of_another_list_is_refused(anywhere: "Served") -> None:
    page = anywhere.client.call(catalog.ListItemsRequest(page_size=1))
    assert isinstance(page, catalog.ListItemsResponse)
    token = page.next_page_token
    others = [
        catalog.ListUsersRequest(page_token=token),
        catalog.ListCategoriesRequest(page_token=token),
        catalog.ListItemsRequest(page_token=token, category="c1"),
    ]
    for request in others:
        with pytest.raises(InvalidArgumentError) as caught:
            anywhere.client.call(request)
        assert caught.value.reason == "TOKEN_OF_OTHER_REQUEST"
    with pytest.raises(InvalidArgumentError) as caught:
        anywhere.client.call(catalog.ListItemsRequest(page_token=token[:-6]))
    assert caught.value.reason == "INVALID_TOKEN"
    anywhere.client.call(catalog.ListItemsRequest(page_token=token, page_size=2))  # its size may change


def test_pages_of_large_rows_end_before_they_exceed_a_message(served: "Served") -> None:
    large = [
        catalog.Item(id=f"large-{n:03}", name="n" * 1_000, attributes=struct({"x": "y" * 8_000})) for n in range(500)
    ]
    for part in (large[:250], large[250:]):
        served.client.upsert_items(part)
    found = [each.id for each in served.client.list_items(page_size=1_000) if each.id.startswith("large-")]
    assert found == [each.id for each in large]
    for each in large:
        served.client.delete_item(each.id)
