"""Features from the store to a published model, and on to an item that came after it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from graph.snapshot import Snapshot
from graph.storage.database import Database
from graph.storage.errors import BadInputError
from graph.storage.items import upsert_items
from training.artifact import load_artifact
from training.refresh import refresh
from training.train_run import Options, train

OPTIONS = {"dim": 16, "epochs": 4, "max_history": 20, "features": ("price", "colour", "image", "noise")}
COLOURS = ("red", "green", "blue", "black")


def described(group: int, noise: float) -> str:
    image = np.eye(4)[group].tolist()
    return json.dumps({"price": 10 * group + 5, "colour": COLOURS[group], "image": image, "noise": noise})


@pytest.fixture
def store(sqlite_database: Database, shop: Snapshot, fill_store: Callable[[Database, Snapshot], None]) -> Database:
    """The planted shop, whose items say which group they belong to, and a number that says nothing."""
    fill_store(sqlite_database, shop)
    random = np.random.default_rng(5)
    columns = {
        "item": shop.items.external,
        "name": shop.item_names,
        "categories": [[f"c{category}"] for category in shop.item_category[1].tolist()],
        "attributes": [described(item % 4, float(random.normal())) for item in range(len(shop.items))],
        "valid_from": pa.array([0] * len(shop.items), pa.int64()),
    }
    upsert_items(sqlite_database, pa.table(columns))
    return sqlite_database


@pytest.mark.timeout(180)
def test_a_published_model_reads_the_features_of_items_that_came_later(store: Database, tmp_path: Path) -> None:
    options = Options(holdout_days=20, validation_days=20, net=OPTIONS, device="cpu", force=True)
    trained = train(store, tmp_path, options)
    artifact = load_artifact(trained.path)
    assert artifact.net.config.features == ("price", "colour", "image")
    assert artifact.manifest.config["net"]["features"] == ["price", "colour", "image"]
    assert artifact.net.encoder is not None
    assert [feature.kind for feature in artifact.net.encoder.features] == ["number", "label", "vector"]

    new = {"item": ["later", "plain"], "attributes": [described(2, 0.0), None]}
    upsert_items(store, pa.table(new))
    _, path, *_ = refresh(store, tmp_path)
    refreshed = load_artifact(path)
    later, plain = refreshed.items.index_of(["later", "plain"])
    assert np.linalg.norm(refreshed.item_vectors[later]) == pytest.approx(1, abs=1e-4)
    assert not refreshed.item_vectors[plain].any()  # nothing tells what it is like
    known = refreshed.items.index_of([f"i{item}" for item in range(80)])
    likeness = refreshed.item_vectors[known] @ refreshed.item_vectors[later]
    assert likeness.reshape(20, 4).mean(axis=0).argmax() == 2


def test_a_feature_that_is_not_there_is_named_with_those_that_are(store: Database, tmp_path: Path) -> None:
    options = Options(holdout_days=20, validation_days=20, net=OPTIONS | {"features": ("weight",)}, device="cpu")
    with pytest.raises(BadInputError, match="has an attribute 'weight'") as caught:
        train(store, tmp_path, options)
    assert "colour (label)" in str(caught.value.hint)
