"""A net that reads numbers of the catalog keeps their scale, and hears them."""

import torch

from graph.features import fit_scaler
from graph.snapshot import Snapshot
from training.config import NetConfig
from training.mixture_build import graph_of
from training.model import InterestNet

CONFIG = NetConfig(dim=8, features=("price",), feature_scaling="min_max")


def net_of(shop: Snapshot) -> InterestNet:
    torch.manual_seed(0)
    scaler = fit_scaler(shop, CONFIG.features, CONFIG.feature_scaling)
    items, categories = torch.from_numpy(shop.items.surrogate), torch.from_numpy(shop.categories.surrogate)
    return InterestNet(CONFIG, items, categories, 1, scaler)


def test_the_scale_travels_with_the_weights(shop: Snapshot) -> None:
    net = net_of(shop)
    again = InterestNet.from_state(CONFIG, net.state_dict())
    assert again.scaler is not None
    assert (again.scaler.centre.tolist(), again.scaler.reach.tolist()) == ([0], [6])  # prices 0 to 6
    graph = graph_of(shop, again.scaler)
    torch.testing.assert_close(net.item_vectors(graph), again.item_vectors(graph))


def test_a_number_moves_its_item(shop: Snapshot) -> None:
    net = net_of(shop)
    graph = graph_of(shop, net.scaler)
    before = net.item_vectors(graph)
    graph["item"].x[3, 0] += 1
    assert not torch.allclose(net.item_vectors(graph)[3], before[3])


def test_a_net_without_features_has_no_scale_and_no_layer(shop: Snapshot) -> None:
    plain = InterestNet(
        CONFIG.model_copy(update={"features": ()}),
        torch.from_numpy(shop.items.surrogate),
        torch.from_numpy(shop.categories.surrogate),
        1,
    )
    assert plain.scaler is None
    assert not [name for name in plain.state_dict() if "feature" in name or name in ("centre", "reach")]
