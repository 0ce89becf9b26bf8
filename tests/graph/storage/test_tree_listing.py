"""What hangs below a category, and lists that are narrowed to it."""

import pytest

from graph.storage.categories import categories_below, delete_categories, list_categories, upsert_categories
from graph.storage.columns import CATEGORIES, ITEMS, table_of
from graph.storage.database import Database
from graph.storage.items import delete_items, list_items, upsert_items


@pytest.fixture
def shop(database: Database) -> Database:
    tree = {"food": None, "drinks": "food", "hot": "drinks", "cold": "drinks", "tools": None}
    upsert_categories(database, table_of(CATEGORIES, [{"category": c, "parent": p} for c, p in tree.items()]))
    items = {"tea": ["hot", "drinks"], "cola": ["cold"], "salt": ["food"], "saw": ["tools"], "gift": []}
    upsert_items(database, table_of(ITEMS, [{"item": i, "categories": c} for i, c in items.items()]))
    return database


def test_below_is_the_category_and_all_its_descendants(shop: Database) -> None:
    assert sorted(categories_below(shop, "drinks")) == ["cold", "drinks", "hot"]
    assert sorted(categories_below(shop, "food")) == ["cold", "drinks", "food", "hot"]
    assert categories_below(shop, "nothing") == []


def test_what_moved_or_was_deleted_is_not_below_any_more(shop: Database) -> None:
    upsert_categories(shop, table_of(CATEGORIES, [{"category": "hot", "parent": "tools"}]))
    delete_items(shop, ["cola"])
    delete_categories(shop, ["cold"])
    assert sorted(categories_below(shop, "food")) == ["drinks", "food"]
    assert sorted(categories_below(shop, "tools")) == ["hot", "tools"]


def test_items_of_some_categories_come_once_and_in_order(shop: Database) -> None:
    below = categories_below(shop, "food")
    assert [found.item for found in list_items(shop, categories=below)] == ["cola", "salt", "tea"]
    assert [found.item for found in list_items(shop, categories=below, after="cola", limit=1)] == ["salt"]
    assert list_items(shop, categories=[]) == []
    assert len(list_items(shop)) == 5


def test_children_of_a_category(shop: Database) -> None:
    assert [found.category for found in list_categories(shop, parent="drinks")] == ["cold", "hot"]
    assert [found.category for found in list_categories(shop, parent="drinks", after="cold")] == ["hot"]
    assert list_categories(shop, parent="nothing") == []
