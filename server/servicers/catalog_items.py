"""CatalogService: items."""

import json

import pyarrow as pa
from penchant.v1 import catalog_pb2 as pb

from graph.storage.categories import categories_below
from graph.storage.columns import ITEMS
from graph.storage.database import Database
from graph.storage.errors import NotFoundError
from graph.storage.items import Item, delete_items, get_items, list_items, upsert_items
from graph.storage.outcomes import Outcome
from server import limits
from server.convert import json_text, microseconds, struct, timestamp_or_ever
from server.servicers.rows import Row, read_rows, told
from server.servicers.upserts import check_rows, keep_unmasked, outcome_rows, page_of, read_mask

FIELDS = ("name", "categories", "available", "attributes")


def upsert(database: Database, request: pb.UpsertItemsRequest) -> pb.UpsertItemsResponse:
    overwritten = read_mask(request.update_mask, FIELDS)
    check_rows(request.items, "items")
    rows, refused = read_rows(request.items, _row)
    existing = get_items(database, [str(row["item"]) for row in rows])
    keep_unmasked(rows, "item", {name: _kept(known) for name, known in existing.items()}, overwritten)
    outcomes = upsert_items(database, pa.Table.from_pylist(rows, schema=ITEMS))
    became = told(len(request.items), refused, outcomes)
    return pb.UpsertItemsResponse(outcomes=outcome_rows(request.items, became, existing))


def get(database: Database, request: pb.GetItemRequest) -> pb.GetItemResponse:
    limits.check_id(request.item, "item")
    found = get_items(database, [request.item]).get(request.item)
    if found is None:
        raise NotFoundError(f"There is no item {request.item!r}.", reason="UNKNOWN_ITEM")
    return pb.GetItemResponse(item=_message(found))


def page(database: Database, request: pb.ListItemsRequest) -> pb.ListItemsResponse:
    below = categories_below(database, limits.check_id(request.category, "category")) if request.category else None
    found, token = page_of(
        request.page_token,
        request.page_size,
        ("items", request.category),
        lambda after, limit: list_items(database, after=after, limit=limit, categories=below),
        lambda item: item.item,
        _message,
    )
    return pb.ListItemsResponse(items=found, next_page_token=token)


def delete(database: Database, request: pb.DeleteItemRequest) -> pb.DeleteItemResponse:
    limits.check_id(request.item, "item")
    return pb.DeleteItemResponse(existed=delete_items(database, [request.item])[0] is Outcome.ACCEPTED)


def _row(item: pb.Item) -> Row:
    limits.check_text(item.name, "name")
    limits.check_count(item.categories, "categories", limits.MAX_ITEM_CATEGORIES, least=0)
    return {
        "item": limits.check_id(item.id, "id"),
        "name": item.name or None,
        "attributes": json_text(item.attributes, "attributes", limits.MAX_ITEM_JSON_BYTES),
        "available": item.available if item.HasField("available") else True,
        "categories": limits.check_ids(item.categories, "categories"),
        "valid_from": microseconds(item.valid_from, "valid_from") if item.HasField("valid_from") else None,
    }


def _kept(item: Item) -> Row:
    return {
        "name": item.name,
        "attributes": json.dumps(dict(item.attributes)) if item.attributes else None,
        "available": item.available,
        "categories": list(item.categories),
    }


def _message(item: Item) -> pb.Item:
    return pb.Item(
        id=item.item,
        name=item.name or "",
        categories=item.categories,
        available=item.available,
        attributes=struct(item.attributes),
        valid_from=timestamp_or_ever(item.valid_from),
    )
