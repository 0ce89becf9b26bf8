"""The catalog's one door: items, categories and users. What is inside stands in the files of their names."""

from graph.storage.categories import (
    Category,
    delete_categories,
    get_categories,
    list_categories,
    upsert_categories,
)
from graph.storage.items import Item, delete_items, get_items, list_items, upsert_items
from graph.storage.users import User, get_users, list_users, upsert_users

__all__ = [
    "Category",
    "Item",
    "User",
    "delete_categories",
    "delete_items",
    "get_categories",
    "get_items",
    "get_users",
    "list_categories",
    "list_items",
    "list_users",
    "upsert_categories",
    "upsert_items",
    "upsert_users",
]
