"""A small shop in files, with a mapping file of its own: a data set that the benchmark has never heard of."""

from pathlib import Path

import numpy as np
import pytest

MAPPING = """
source = "corner-shop"

[items]
file = "items.csv"
id = "item"
categories = [{ columns = ["aisle"] }]

[events]
file = "events.csv"
user = "user"
item = "item"
kind = "purchase"
occurred_at = { column = "at", format = "unix_seconds" }
"""


@pytest.fixture(scope="session")
def corner_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the mapping file; 40 users, 40 items in 4 aisles, 60 days, 1,200 events."""
    folder = tmp_path_factory.mktemp("shop")
    random = np.random.default_rng(0)
    user = random.integers(0, 40, 1_200)
    item = 4 * random.integers(0, 10, 1_200) + np.where(
        random.random(1_200) < 0.8, user % 4, random.integers(0, 4, 1_200)
    )
    at = 1_600_000_000 + np.sort(random.integers(0, 60 * 86_400, 1_200))
    rows = zip(user.tolist(), item.tolist(), at.tolist(), strict=True)
    (folder / "events.csv").write_text("user,item,at\n" + "".join(f"u{u},i{i},{t}\n" for u, i, t in rows))
    (folder / "items.csv").write_text("item,aisle\n" + "".join(f"i{i},aisle {i % 4}\n" for i in range(40)))
    mapping = folder / "corner-shop.toml"
    mapping.write_text(MAPPING)
    return mapping
