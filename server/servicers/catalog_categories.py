"""CatalogService: categories."""

import pyarrow as pa
from penchant.v1 import catalog_pb2 as pb

from graph.storage.categories import Category, delete_categories, get_categories, list_categories, upsert_categories
from graph.storage.columns import CATEGORIES
from graph.storage.database import Database
from graph.storage.errors import ConflictError, NotFoundError
from graph.storage.outcomes import Outcome
from server import limits
from server.convert import microseconds, timestamp_or_ever
from server.servicers.rows import Row, read_rows, told
from server.servicers.upserts import check_rows, keep_unmasked, outcome_rows, page_of, read_mask

FIELDS = ("name", "parent")


def upsert(database: Database, request: pb.UpsertCategoriesRequest) -> pb.UpsertCategoriesResponse:
    overwritten = read_mask(request.update_mask, FIELDS)
    check_rows(request.categories, "categories")
    rows, refused = read_rows(request.categories, _row)
    existing = get_categories(database, [str(row["category"]) for row in rows])
    kept: dict[str, Row] = {name: {"name": known.name, "parent": known.parent} for name, known in existing.items()}
    keep_unmasked(rows, "category", kept, overwritten)
    outcomes = upsert_categories(database, pa.Table.from_pylist(rows, schema=CATEGORIES))
    became = told(len(request.categories), refused, outcomes)
    return pb.UpsertCategoriesResponse(outcomes=outcome_rows(request.categories, became, existing))


def get(database: Database, request: pb.GetCategoryRequest) -> pb.GetCategoryResponse:
    limits.check_id(request.category, "category")
    found = get_categories(database, [request.category]).get(request.category)
    if found is None:
        raise NotFoundError(f"There is no category {request.category!r}.", reason="UNKNOWN_CATEGORY")
    return pb.GetCategoryResponse(category=_message(found))


def page(database: Database, request: pb.ListCategoriesRequest) -> pb.ListCategoriesResponse:
    parent = limits.check_id(request.parent, "parent") if request.parent else None
    found, token = page_of(
        request.page_token,
        request.page_size,
        ("categories", request.parent),
        lambda after, limit: list_categories(database, after=after, limit=limit, parent=parent),
        lambda category: category.category,
        _message,
    )
    return pb.ListCategoriesResponse(categories=found, next_page_token=token)


def delete(database: Database, request: pb.DeleteCategoryRequest) -> pb.DeleteCategoryResponse:
    limits.check_id(request.category, "category")
    outcomes = delete_categories(database, [request.category])
    if outcomes[0] is Outcome.IN_USE:
        raise ConflictError(
            f"The category {request.category!r} is not empty: {outcomes.reason(0)}.",
            hint="Move what is in it first.",
            reason="CATEGORY_NOT_EMPTY",
        )
    return pb.DeleteCategoryResponse(existed=outcomes[0] is Outcome.ACCEPTED)


def _row(category: pb.Category) -> Row:
    return {
        "category": limits.check_id(category.id, "id"),
        "name": limits.check_text(category.name, "name") or None,
        "parent": limits.check_id(category.parent, "parent") if category.parent else None,
        "valid_from": microseconds(category.valid_from, "valid_from") if category.HasField("valid_from") else None,
    }


def _message(category: Category) -> pb.Category:
    return pb.Category(
        id=category.category,
        name=category.name or "",
        parent=category.parent or "",
        valid_from=timestamp_or_ever(category.valid_from),
    )
