"""CatalogService: items, categories and users as they are now; each kind has a file of its own."""

import grpc
from penchant.v1 import catalog_pb2 as pb
from penchant.v1.catalog_pb2_grpc import CatalogServiceServicer

from graph.storage.database import Database
from server.servicers import catalog_categories as categories
from server.servicers import catalog_items as items
from server.servicers import catalog_users as users

Context = grpc.ServicerContext


class CatalogServicer(CatalogServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    def UpsertItems(self, request: pb.UpsertItemsRequest, context: Context) -> pb.UpsertItemsResponse:
        return items.upsert(self._database, request)

    def GetItem(self, request: pb.GetItemRequest, context: Context) -> pb.GetItemResponse:
        return items.get(self._database, request)

    def ListItems(self, request: pb.ListItemsRequest, context: Context) -> pb.ListItemsResponse:
        return items.page(self._database, request)

    def DeleteItem(self, request: pb.DeleteItemRequest, context: Context) -> pb.DeleteItemResponse:
        return items.delete(self._database, request)

    def UpsertCategories(self, request: pb.UpsertCategoriesRequest, context: Context) -> pb.UpsertCategoriesResponse:
        return categories.upsert(self._database, request)

    def GetCategory(self, request: pb.GetCategoryRequest, context: Context) -> pb.GetCategoryResponse:
        return categories.get(self._database, request)

    def ListCategories(self, request: pb.ListCategoriesRequest, context: Context) -> pb.ListCategoriesResponse:
        return categories.page(self._database, request)

    def DeleteCategory(self, request: pb.DeleteCategoryRequest, context: Context) -> pb.DeleteCategoryResponse:
        return categories.delete(self._database, request)

    def UpsertUsers(self, request: pb.UpsertUsersRequest, context: Context) -> pb.UpsertUsersResponse:
        return users.upsert(self._database, request)

    def GetUser(self, request: pb.GetUserRequest, context: Context) -> pb.GetUserResponse:
        return users.get(self._database, request)

    def ListUsers(self, request: pb.ListUsersRequest, context: Context) -> pb.ListUsersResponse:
        return users.page(self._database, request)

    def DeleteUser(self, request: pb.DeleteUserRequest, context: Context) -> pb.DeleteUserResponse:
        return users.delete(self._database, request)
