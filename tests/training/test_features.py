"""A net that reads features keeps what it learned of them, hears them, and does without what is missing."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from graph.features.encoder import fit_encoder
from graph.snapshot import Snapshot
from training.config import NetConfig
from training.evaluation.protocols import time_split
from training.item_features import ItemFeatures
from training.mixture_build import graph_of
from training.model import InterestNet
from training.train import Learned, config_for, learn

FEATURES = ("price", "colour", "title", "image")
CONFIG = NetConfig(dim=8, features=FEATURES, feature_scaling="min_max")


@pytest.fixture(scope="module")
def described(shop: Snapshot) -> Snapshot:
    """The shop, whose items say their group in four ways and nothing in four others."""
    random = np.random.default_rng(3)

    def one(item: int) -> str:
        group = item % 4
        told = {
            "price": item % 7,
            "colour": ("red", "green", "blue", "black")[group],
            "title": f"thing of group{group} model{item}",
            "image": (np.eye(4)[group] + random.normal(0, 0.1, 4)).tolist(),
            "noise number": random.normal(),
            "noise label": f"l{random.integers(4)}",
            "noise text": " ".join(f"word{n}" for n in random.integers(20, size=4)),
            "noise vector": random.normal(0, 1, 16).tolist(),
        }
        return json.dumps(told)

    texts = pa.array([one(item) for item in range(len(shop.items))], pa.string())
    versions = replace(shop.catalog_log.items, attributes=texts)
    log = replace(shop.catalog_log, items=versions)
    return replace(shop, catalog=replace(shop.catalog, item_attributes=texts), catalog_log=log)


def net_of(shop: Snapshot) -> InterestNet:
    torch.manual_seed(0)
    encoder = fit_encoder(shop, CONFIG.features, CONFIG.feature_scaling)
    items, categories = torch.from_numpy(shop.items.surrogate), torch.from_numpy(shop.categories.surrogate)
    return InterestNet(CONFIG, items, categories, 1, encoder)


def test_what_was_learned_of_the_features_travels_with_the_weights(described: Snapshot) -> None:
    net = net_of(described)
    again = InterestNet.from_state(CONFIG, net.state_dict())
    assert again.encoder is not None
    assert again.encoder.features[0].state() == {"centre": 0, "reach": 6}  # prices 0 to 6
    assert [feature.kind for feature in again.encoder.features] == ["number", "label", "text", "vector"]
    graph = graph_of(described, again.encoder)
    torch.testing.assert_close(net.item_vectors(graph), again.item_vectors(graph))


def test_a_number_moves_its_item(described: Snapshot) -> None:
    net = net_of(described)
    graph = graph_of(described, net.encoder)
    before = net.item_vectors(graph)
    graph["item"].x[3, 0] += 1
    assert not torch.allclose(net.item_vectors(graph)[3], before[3])


def test_a_net_without_features_has_no_layer_for_them(shop: Snapshot) -> None:
    config = CONFIG.model_copy(update={"features": ()})
    items, categories = torch.from_numpy(shop.items.surrogate), torch.from_numpy(shop.categories.surrogate)
    plain = InterestNet(config, items, categories, 1)
    assert plain.encoder is None
    assert not [name for name in plain.state_dict() if "feature" in name or "encoder-" in name]


def test_the_mean_of_what_is_present() -> None:
    """An item with one of two features has that one's vector; with both, their mean; with none, nothing."""
    features = ItemFeatures((1, 2), dim=4)
    torch.nn.init.constant_(features.gates, 20.0)  # wide open
    x = torch.tensor([[3.0, 1.0, 2.0]]).repeat(4, 1)
    known = torch.tensor([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    both, first, second, neither = features(torch.cat([x, known], dim=1))
    torch.testing.assert_close(first, features.projections[0](x[0, :1]))
    torch.testing.assert_close(both, (first + second) / 2)
    assert (neither == 0).all()


def test_a_closed_gate_lets_nothing_through_and_weighs_nothing() -> None:
    features = ItemFeatures((1, 2), dim=4)
    with torch.no_grad():
        features.gates.copy_(torch.tensor([20.0, -200.0]))
    x = torch.tensor([[3.0, 1.0, 2.0, 1.0, 1.0]])
    torch.testing.assert_close(features(x)[0], features.projections[0](x[0, :1]))


NOISE = tuple(f"noise {kind}" for kind in ("number", "label", "text", "vector"))


def learned_with(shop: Snapshot, features: tuple[str, ...], seed: int = 0) -> Learned:
    split = time_split(shop, test_start=100 * 86_400_000_000)
    changes = {"dim": 16, "epochs": 4, "max_history": 20, "features": features, "seed": seed}
    return learn(split.trained, split.validation, config_for(split.trained, changes), vector_space="m1", device="cpu")


def test_noise_costs_nothing(described: Snapshot) -> None:
    """It is left out before anything learns from it, so that the same seed ends in the same net."""
    without, with_noise = learned_with(described, ("colour",)), learned_with(described, ("colour", *NOISE))
    assert with_noise.model.net.config.features == ("colour",)
    assert with_noise.fit.epochs[-1].ndcg == without.fit.epochs[-1].ndcg


def test_a_catalog_of_noise_is_as_none(described: Snapshot) -> None:
    assert learned_with(described, NOISE).model.net.config.features == ()
