"""Stores of any size for graph_scale.py, filled directly and seeded: a shop whose users lean to a few categories.

Interactions n, users n / 10, items n / 100, leaf categories n / 4,000, all times within a year. Users and items are as
uneven as in shops (log-normal activity, popularity falling with rank); 0.2 % of the events are withdrawn. Rows are in
the order of their time, as a shop's log is, but for one in a hundred, which came late.
"""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from graph.storage.database import Database
from graph.storage.kinds import load_kinds
from graph.storage.postgresql import libpq_uri
from graph.storage.times import DAY_US, EVER_US
from migrations.commands import upgrade

BEGIN_US = 1_700_000_000_000_000
YEAR_US = 365 * DAY_US
LOADED_US = BEGIN_US + YEAR_US
ROWS_AT_ONCE = 100_000
SHARES = {"view": 0.62, "cart": 0.12, "purchase": 0.2, "rating": 0.04, "dislike": 0.02}
LATE = 0.01
RETRACTED = 0.002
NEW = 0.001
"""Of a day: users and items that came with it, as a share of those there were, and rows that name one of them."""

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Shop:
    interactions: int
    seed: int = 0

    @property
    def users(self) -> int:
        return self.interactions // 10

    @property
    def items(self) -> int:
        return max(self.interactions // 100, 100)

    @property
    def leaves(self) -> int:
        return max(self.interactions // 4_000, 10)

    @property
    def roots(self) -> int:
        return max(self.leaves // 50, 1)


def fill(database: Database, shop: Shop) -> None:
    """Migrates an empty database and writes the whole shop into it, indexes last."""
    upgrade(database)
    kinds = {kind.name: kind.id for kind in load_kinds(database)}
    put = _Sqlite(database) if database.is_sqlite else _Postgresql(database)
    put.begin()
    put.rows("user", _externals("u", shop.users))
    n_categories = shop.roots + shop.leaves
    put.rows("category", _externals("c", n_categories))
    parent = [None] * shop.roots + [1 + leaf % shop.roots for leaf in range(shop.leaves)]
    number = list(range(1, n_categories + 1))
    versions: Columns = {"id": number, "category_id": number, "parent_id": parent}
    versions["name"] = [f"Category {c}" for c in number]
    put.rows("category_version", versions | _held(n_categories, EVER_US, BEGIN_US))
    _put_items(put, shop, 1, leaf_of_item(shop), EVER_US, BEGIN_US)
    for columns in events(shop, kinds):
        put.rows("interaction", columns)
    put.end()


def add_day(database: Database, shop: Shop, share: float) -> None:
    """Appends `share` of the interactions: a day after the year, a tenth of it back-dated, with new users and items.

    Users and items that are new have events of the day, each about as many as a user or item that is not.
    """
    kinds = {kind.name: kind.id for kind in load_kinds(database)}
    n = int(shop.interactions * share)
    new_users, new_items = (max(int(NEW * count), 1) for count in (shop.users, shop.items))
    put = _Sqlite(database) if database.is_sqlite else _Postgresql(database)
    put.rows("user", _externals("u", new_users, first=shop.users + 1, recorded_at=LOADED_US + 1))
    leaf = np.random.default_rng(shop.seed + 20).integers(0, shop.leaves, new_items)
    _put_items(put, shop, shop.items + 1, leaf, LOADED_US, LOADED_US + 1)
    day = Shop(shop.interactions, seed=shop.seed + 1)
    random = np.random.default_rng(shop.seed + 21)
    for columns in events(day, kinds, first=shop.interactions + 1, n=n, begin=LOADED_US, length=DAY_US):
        for name, old, new in (("user_id", shop.users, new_users), ("item_id", shop.items, new_items)):
            number = np.array(columns[name])
            is_new = random.random(len(number)) < NEW
            number[is_new] = old + 1 + random.integers(0, new, is_new.sum())
            columns[name] = number.tolist()
        put.rows("interaction", columns)
    put.end()


def leaf_of_item(shop: Shop) -> NDArray[np.int64]:
    """int64 [items]: which leaf category."""
    return np.random.default_rng(shop.seed + 10).permutation(shop.items) % shop.leaves


def events(
    shop: Shop,
    kinds: dict[str, int],
    *,
    first: int = 1,
    n: int | None = None,
    begin: int = BEGIN_US,
    length: int = YEAR_US,
) -> Iterator[Columns]:
    """Rows of `interaction`, at most ROWS_AT_ONCE at a time, ids from `first`."""
    n = shop.interactions if n is None else n
    random = np.random.default_rng(shop.seed)
    by_leaf = np.argsort(leaf_of_item(shop), kind="stable")
    start = np.searchsorted(leaf_of_item(shop)[by_leaf], np.arange(shop.leaves + 1))
    activity = np.random.default_rng(11).lognormal(0, 1, shop.users)
    reach = np.cumsum(activity) / activity.sum()
    interests = np.random.default_rng(12).integers(0, shop.leaves, (shop.users, 3))
    kind_ids, odds = [kinds[name] for name in SHARES], list(SHARES.values())
    for offset in range(0, n, ROWS_AT_ONCE):
        size = min(ROWS_AT_ONCE, n - offset)
        user = np.searchsorted(reach, random.random(size))
        leaf = interests[user, random.integers(0, 3, size)]
        within = (start[leaf + 1] - start[leaf]) * random.random(size) ** 2  # the first of a category are bought most
        liked = by_leaf[start[leaf] + within.astype(np.int64)]
        popular = (shop.items * random.random(size) ** 3).astype(np.int64)
        item = np.where(random.random(size) < 0.8, liked, popular)
        when = begin + (np.arange(offset, offset + size) * (length / n)).astype(np.int64)
        late = random.random(size) < (LATE if begin == BEGIN_US else 0.1)
        when[late] -= random.integers(0, 30 * DAY_US, late.sum())
        number = np.arange(first + offset, first + offset + size)
        kind = random.choice(kind_ids, size, p=odds)
        session = user * 400 + (when - BEGIN_US) // DAY_US
        value = np.round(random.lognormal(2, 1, size), 2)
        withdrawn = (random.random(size) < RETRACTED) & (number > first)
        named = number - 1 - random.integers(0, 50, size).clip(max=number - first - 1)
        yield {
            "id": number.tolist(),
            "event_id": [f"e{k:012d}" for k in number.tolist()],
            "user_id": (user + 1).tolist(),
            "item_id": (item + 1).tolist(),
            "kind_id": np.where(withdrawn, kinds["retract"], kind).tolist(),
            "value": value.tolist(),
            "session_key": [f"s{key}" for key in session.tolist()],
            "retracts": [f"e{k:012d}" if w else None for k, w in zip(named.tolist(), withdrawn.tolist(), strict=True)],
            "occurred_at": when.tolist(),
            "recorded_at": [LOADED_US if begin == BEGIN_US else LOADED_US + 1] * size,
        }


def _put_items(
    put: "_Sqlite | _Postgresql", shop: Shop, first: int, leaf: NDArray[np.int64], valid_from: int, recorded_at: int
) -> None:
    """Items from number `first` on, one for each of `leaf`, int64 [items]: which leaf category it is in."""
    n = len(leaf)
    number = list(range(first, first + n))
    put.rows("item", _externals("i", n, first=first, recorded_at=recorded_at))
    versions: Columns = {
        "id": number,
        "item_id": number,
        "available": [True] * n,
        "name": [f"Item {i}" for i in number],
    }
    put.rows("item_version", versions | _held(n, valid_from, recorded_at))
    put.rows("item_category", {"item_version_id": number, "category_id": (leaf + shop.roots + 1).tolist()})


def _held(n: int, valid_from: int, recorded_at: int) -> Columns:
    """Columns of n versions that hold from `valid_from` on."""
    held = {"valid_from": valid_from, "recorded_at": recorded_at, "deleted": False, "is_current": True}
    return {name: [value] * n for name, value in held.items()}


def _externals(letter: str, n: int, *, first: int = 1, recorded_at: int = BEGIN_US) -> Columns:
    number = range(first, first + n)
    return {
        "id": list(number),
        "external_id": [f"{letter}{k:08d}" for k in number],
        "recorded_at": [recorded_at] * n,
    }


class _Sqlite:
    def __init__(self, database: Database) -> None:
        self.connection = sqlite3.connect(str(database.url.database), isolation_level=None)
        self.indexes: list[str] = []
        self.connection.execute("PRAGMA synchronous = OFF")
        self.connection.execute("PRAGMA cache_size = -262144")
        self.connection.execute("BEGIN")

    def begin(self) -> None:
        """Without the indexes that CREATE INDEX made; those of constraints stay."""
        query = (
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'interaction' AND sql IS NOT NULL"
        )
        for name, sql in self.connection.execute(query).fetchall():
            self.indexes.append(sql)
            self.connection.execute(f"DROP INDEX {name}")

    def rows(self, table: str, columns: Columns) -> None:
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        rows = zip(*columns.values(), strict=True)
        self.connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', rows)

    def end(self) -> None:
        for sql in self.indexes:
            self.connection.execute(sql)
        self.connection.execute("COMMIT")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()


class _Postgresql:
    def __init__(self, database: Database) -> None:
        self.connection = psycopg.connect(libpq_uri(database.url))
        self.connection.execute("SET synchronous_commit = off")

    def begin(self) -> None:
        """COPY keeps the indexes as it goes, which is quick enough for the sizes measured here."""

    def rows(self, table: str, columns: Columns) -> None:
        with (
            self.connection.cursor() as cursor,
            cursor.copy(f'COPY "{table}" ({", ".join(columns)}) FROM STDIN') as copy,
        ):
            for row in zip(*columns.values(), strict=True):
                copy.write_row(row)

    def end(self) -> None:
        self.connection.commit()
        self.connection.autocommit = True
        self.connection.execute("VACUUM ANALYZE")
        self.connection.close()
