"""CatalogService: users."""

import pyarrow as pa
from penchant.v1 import catalog_pb2 as pb

from graph.storage.columns import USERS
from graph.storage.database import Database
from graph.storage.errors import NotFoundError
from graph.storage.users import User, get_users, list_users, upsert_users
from graph.storage.withdrawal import withdraw_user
from server import limits
from server.convert import json_text, struct
from server.servicers.rows import Row, read_rows, told
from server.servicers.upserts import check_rows, outcome_rows, page_of, read_mask

FIELDS = ("attributes",)


def upsert(database: Database, request: pb.UpsertUsersRequest) -> pb.UpsertUsersResponse:
    read_mask(request.update_mask, FIELDS)  # the one field there is: named or not, it is overwritten
    check_rows(request.users, "users")
    rows, refused = read_rows(request.users, _row)
    existing = get_users(database, [str(row["user"]) for row in rows])
    outcomes = upsert_users(database, pa.Table.from_pylist(rows, schema=USERS))
    became = told(len(request.users), refused, outcomes)
    return pb.UpsertUsersResponse(outcomes=outcome_rows(request.users, became, existing))


def get(database: Database, request: pb.GetUserRequest) -> pb.GetUserResponse:
    limits.check_id(request.user, "user")
    found = get_users(database, [request.user]).get(request.user)
    if found is None:
        raise NotFoundError(f"There is no user {request.user!r}.", reason="UNKNOWN_USER")
    return pb.GetUserResponse(user=_message(found))


def page(database: Database, request: pb.ListUsersRequest) -> pb.ListUsersResponse:
    found, token = page_of(
        request.page_token,
        request.page_size,
        "users",
        lambda after, limit: list_users(database, after=after, limit=limit),
        lambda user: user.user,
        _message,
    )
    return pb.ListUsersResponse(users=found, next_page_token=token)


def delete(database: Database, request: pb.DeleteUserRequest) -> pb.DeleteUserResponse:
    return pb.DeleteUserResponse(existed=withdraw_user(database, limits.check_id(request.user, "user")))


def _row(user: pb.User) -> Row:
    return {"user": limits.check_id(user.id, "id"), "attributes": json_text(user.attributes, "attributes")}


def _message(user: User) -> pb.User:
    return pb.User(id=user.user, attributes=struct(user.attributes))
