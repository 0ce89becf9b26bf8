"""Upkeep: events, catalog and models; how the arguments of a method become a request, as in questions.py."""

from collections.abc import Sequence

from google.protobuf.field_mask_pb2 import FieldMask

from penchant.calls import Call, Pages, Whole, whole
from penchant.streams import complete_events
from penchant.v1 import catalog_pb2 as catalog
from penchant.v1 import event_pb2 as event
from penchant.v1 import model_pb2 as model
from penchant.v1 import server_pb2 as server


def record_events(
    events: Sequence[event.Event], *, deadline_ms: float | None = None
) -> Whole[event.RecordEventsResponse]:
    """Records up to 1,000 events; look at each outcome, one that is refused does not hold back the others.

    An event without `event_id` or `occurred_at` gets a random one and the present, so that the tries of this
    call record it once. To be safe across calls as well, give ids and times of your own.
    """
    request = event.RecordEventsRequest(events=events)
    complete_events(request.events)
    return Call(request, event.RecordEventsResponse, whole, deadline_ms)


def upsert_items(
    items: Sequence[catalog.Item], *, fields: Sequence[str] = (), deadline_ms: float | None = None
) -> Whole[catalog.UpsertItemsResponse]:
    """Creates or updates up to 1,000 items; of those that exist only `fields` are overwritten, if given."""
    request = catalog.UpsertItemsRequest(items=items, update_mask=_mask(fields))
    return Call(request, catalog.UpsertItemsResponse, whole, deadline_ms)


def get_item(item: str, *, deadline_ms: float | None = None) -> Call[catalog.GetItemResponse, catalog.Item]:
    """One item."""
    request = catalog.GetItemRequest(item=item)
    return Call(request, catalog.GetItemResponse, lambda answer: answer.item, deadline_ms)


def list_items(
    *, category: str = "", page_size: int = 1_000, deadline_ms: float | None = None
) -> Pages[catalog.ListItemsResponse, catalog.Item]:
    """All items, or those in `category` and below."""
    request = catalog.ListItemsRequest(category=category, page_size=page_size)
    return Pages(request, catalog.ListItemsResponse, lambda page: page.items, deadline_ms)


def delete_item(item: str, *, deadline_ms: float | None = None) -> Call[catalog.DeleteItemResponse, bool]:
    """Takes an item out of the catalog; whether it was there."""
    return Call(
        catalog.DeleteItemRequest(item=item), catalog.DeleteItemResponse, lambda answer: answer.existed, deadline_ms
    )


def upsert_categories(
    categories: Sequence[catalog.Category], *, fields: Sequence[str] = (), deadline_ms: float | None = None
) -> Whole[catalog.UpsertCategoriesResponse]:
    """Creates or updates up to 1,000 categories; of those that exist only `fields` are overwritten, if given."""
    request = catalog.UpsertCategoriesRequest(categories=categories, update_mask=_mask(fields))
    return Call(request, catalog.UpsertCategoriesResponse, whole, deadline_ms)


def get_category(
    category: str, *, deadline_ms: float | None = None
) -> Call[catalog.GetCategoryResponse, catalog.Category]:
    """One category."""
    request = catalog.GetCategoryRequest(category=category)
    return Call(request, catalog.GetCategoryResponse, lambda answer: answer.category, deadline_ms)


def list_categories(
    *, parent: str = "", page_size: int = 1_000, deadline_ms: float | None = None
) -> Pages[catalog.ListCategoriesResponse, catalog.Category]:
    """All categories, or the children of `parent`."""
    request = catalog.ListCategoriesRequest(parent=parent, page_size=page_size)
    return Pages(request, catalog.ListCategoriesResponse, lambda page: page.categories, deadline_ms)


def delete_category(category: str, *, deadline_ms: float | None = None) -> Call[catalog.DeleteCategoryResponse, bool]:
    """Takes an empty category out of the tree; whether it was there."""
    request = catalog.DeleteCategoryRequest(category=category)
    return Call(request, catalog.DeleteCategoryResponse, lambda answer: answer.existed, deadline_ms)


def upsert_users(
    users: Sequence[catalog.User], *, fields: Sequence[str] = (), deadline_ms: float | None = None
) -> Whole[catalog.UpsertUsersResponse]:
    """Creates or updates up to 1,000 users; of those that exist only `fields` are overwritten, if given."""
    request = catalog.UpsertUsersRequest(users=users, update_mask=_mask(fields))
    return Call(request, catalog.UpsertUsersResponse, whole, deadline_ms)


def get_user(user: str, *, deadline_ms: float | None = None) -> Call[catalog.GetUserResponse, catalog.User]:
    """One user."""
    request = catalog.GetUserRequest(user=user)
    return Call(request, catalog.GetUserResponse, lambda answer: answer.user, deadline_ms)


def list_users(
    *, page_size: int = 1_000, deadline_ms: float | None = None
) -> Pages[catalog.ListUsersResponse, catalog.User]:
    """All users."""
    request = catalog.ListUsersRequest(page_size=page_size)
    return Pages(request, catalog.ListUsersResponse, lambda page: page.users, deadline_ms)


def delete_user(user: str, *, deadline_ms: float | None = None) -> Call[catalog.DeleteUserResponse, bool]:
    """Takes out a user's attributes and takes back the user's events; whether there were any. No erasure."""
    return Call(
        catalog.DeleteUserRequest(user=user), catalog.DeleteUserResponse, lambda answer: answer.existed, deadline_ms
    )


def list_models(
    *, page_size: int = 0, deadline_ms: float | None = None
) -> Pages[model.ListModelsResponse, model.Model]:
    """All models with their revisions, newest first."""
    request = model.ListModelsRequest(page_size=page_size)
    return Pages(request, model.ListModelsResponse, lambda page: page.models, deadline_ms)


def get_model(model_id: str, *, deadline_ms: float | None = None) -> Call[model.GetModelResponse, model.Model]:
    """One model with its revisions, such as "m7"."""
    request = model.GetModelRequest(model=model_id)
    return Call(request, model.GetModelResponse, lambda answer: answer.model, deadline_ms)


def activate_model(
    version: str, *, force: bool = False, reason: str = "", deadline_ms: float | None = None
) -> Whole[model.ActivateModelResponse]:
    """Makes a revision, such as "m7.12", the one that answers; `force` needs a reason."""
    request = model.ActivateModelRequest(version=version, force=force, reason=reason)
    return Call(request, model.ActivateModelResponse, whole, deadline_ms)


def rollback_model(
    *, reason: str = "", from_version: str = "", deadline_ms: float | None = None
) -> Whole[model.RollbackModelResponse]:
    """Goes back to the revision active before; sent again only where `from_version` says which one to leave."""
    request = model.RollbackModelRequest(reason=reason, from_version=from_version)
    return Call(request, model.RollbackModelResponse, whole, deadline_ms)


def list_labels(*, deadline_ms: float | None = None) -> Call[model.ListLabelsResponse, Sequence[model.Label]]:
    """All labels, "stable" first: what is active, for the users that no other label takes."""
    return Call(model.ListLabelsRequest(), model.ListLabelsResponse, lambda answer: answer.labels, deadline_ms)


def set_label(
    label: str, version: str, *, share: float = 0.0, deadline_ms: float | None = None
) -> Call[model.SetLabelResponse, model.Label]:
    """Lets a label, such as "canary", name a revision and take a share of the users, 0 to 1."""
    request = model.SetLabelRequest(label=label, version=version, share=share)
    return Call(request, model.SetLabelResponse, lambda answer: answer.label, deadline_ms)


def delete_label(label: str, *, deadline_ms: float | None = None) -> Call[model.DeleteLabelResponse, bool]:
    """Removes a label, whose users are answered by the active revision again; whether it was there."""
    request = model.DeleteLabelRequest(label=label)
    return Call(request, model.DeleteLabelResponse, lambda answer: answer.existed, deadline_ms)


def get_server_info(*, deadline_ms: float | None = None) -> Whole[server.GetServerInfoResponse]:
    """Versions, the active model and the limits of requests."""
    return Call(server.GetServerInfoRequest(), server.GetServerInfoResponse, whole, deadline_ms)


def _mask(fields: Sequence[str]) -> FieldMask | None:
    return FieldMask(paths=fields) if fields else None
