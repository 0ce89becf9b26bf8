"""Cold start on the planted shop: users keep to a group of items, and an item's category is its group."""

import pytest

from benchmarks.quality.cold_start import ALL, curve, of_items, of_users
from graph.snapshot import Snapshot
from tests.training import conftest as planted
from training.evaluation.cold_items import ColdItems, cold_items, trained_on
from training.evaluation.protocols import Split
from training.train import Learned, config_for, learn

shop = planted.shop


@pytest.fixture(scope="module")
def cold(shop: Snapshot) -> ColdItems:
    return cold_items(shop)


@pytest.fixture(scope="module")
def split(cold: ColdItems) -> Split:
    return trained_on(cold.known)


@pytest.fixture(scope="module")
def learned(split: Split) -> Learned:
    config = config_for(split.trained, {"dim": 16, "epochs": 6, "max_history": 20})
    return learn(split.trained, split.validation, config, vector_space="m1", device="cpu")


def test_held_out_items_are_found_by_their_category(learned: Learned, cold: ColdItems) -> None:
    found = of_items(learned, cold)
    assert found["held_out"] == 12
    assert found["users"] == len(cold.asked)
    ndcg = {model: row["ndcg@10"] for model, row in found["results"].items()}
    assert ndcg["penchant"] > 0.9 * ndcg["category frequency"]
    assert "its net alone" in ndcg


def test_the_curve_has_every_length_and_never_falls_below_popularity(learned: Learned, split: Split) -> None:
    found = of_users(learned, split, "test")
    by_events = found["by_events"]
    assert list(by_events) == ["1", "2", "3", "5", ALL]
    for rows in by_events.values():
        assert rows["penchant"]["ndcg@10"] > rows["popularity"]["ndcg@10"]
    lines = curve(by_events, "planted").axes[0].get_lines()
    assert len(lines) == len(by_events["1"])
