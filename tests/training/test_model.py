"""What the vectors promise: unit length, causality, sets without order, inductive users and items."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData

from graph.histories import Histories, histories_from_arrays
from training.batches import make_batch, newest_windows
from training.config import NetConfig
from training.mixture_net import NetSource
from training.model import InterestNet
from training.sequence_encoder import make_sequence_encoder

HOUR = 3_600_000_000
CONFIG = NetConfig(dim=8, max_history=10, dropout=0.5)


def graph_of(n_items: int = 20, first_id: int = 100) -> HeteroData:
    graph = HeteroData()
    for node, size in (("user", 3), ("item", n_items), ("category", 4)):
        graph[node].num_nodes = size
        graph[node].node_id = torch.arange(size) + (first_id if node == "item" else 0)
    for edge, ends in (
        (("user", "view", "item"), [[0, 1, 2], [1, 2, 3]]),
        (("item", "followed_by", "item"), [[0, 1, 2, 3], [1, 2, 3, 4]]),
        (("item", "in", "category"), [list(range(n_items)), [2 + item % 2 for item in range(n_items)]]),
        (("category", "child_of", "category"), [[2, 3], [0, 1]]),
    ):
        graph[edge].edge_index = torch.tensor(ends)
        graph[edge].edge_weight = torch.ones(len(ends[0]))
    return graph


def net_of(graph: HeteroData, n_kinds: int = 2, **changes: Any) -> InterestNet:
    torch.manual_seed(0)
    config = CONFIG.model_copy(update=changes)
    net = InterestNet(config, graph["item"].node_id, graph["category"].node_id, n_kinds)
    for name, parameter in net.named_parameters():
        if parameter.dim() == 1 and "norm" not in name and parameter.numel():
            torch.nn.init.normal_(parameter, std=0.1)  # biases start at zero and would hide what they do
    return net.eval()


def histories(*users: list[int], hours: list[int] | None = None, kind: int = 0) -> Histories:
    user = np.repeat(np.arange(len(users)), [len(items) for items in users])
    item = np.array([item for items in users for item in items], np.int64)
    hour = np.array(hours if hours else [place for items in users for place in range(len(items))], np.int64)
    kinds = np.full(len(item), kind)
    return histories_from_arrays(user, item, hour * HOUR, kind=kinds, n_users=len(users), n_items=20)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nets": 2},
        {"interests": 3},
        {"centered": True, "long_term": True},
        {"graph_encoder": "none"},
        {"graph_encoder": "lightgcn"},
        {"graph_encoder": "directed"},
    ],
)
def test_vectors_have_unit_length(changes: dict[str, Any]) -> None:
    net = net_of(graph_of(), **changes)
    items = net.item_vectors(graph_of())
    users = net.user_vectors(histories([1, 2, 3], [4], []), items)
    assert items.shape == (20, net.config.vector_dim)
    assert users.shape == (3, net.config.interests, net.config.vector_dim)
    torch.testing.assert_close(items.norm(dim=-1), torch.ones(20))
    torch.testing.assert_close(users.norm(dim=-1), torch.ones(3, net.config.interests))


@pytest.mark.parametrize("long_term", [False, True])
@pytest.mark.parametrize("encoder", ["transformer", "gru", "lstm", "cnn", "mean"])
def test_a_position_knows_its_own_step_and_earlier_ones_alone(encoder: str, long_term: bool) -> None:
    net = net_of(graph_of(), sequence_encoder=encoder, blocks=2, long_term=long_term)
    items = net.item_vectors(graph_of())

    def positions(*row: int) -> torch.Tensor:
        windows = newest_windows(histories(list(row)), 10)
        with torch.no_grad():
            return net.parts[0].user_vectors(items, make_batch(windows, np.arange(1), training=False))[0, :, 0]

    before, after = positions(1, 2, 3, 4, 5), positions(1, 2, 3, 9, 5)
    torch.testing.assert_close(before[:4], after[:4])  # the start and the steps 1, 2, 3
    assert ((before[4:] - after[4:]).abs().amax(dim=1) > 1e-4).all()


def test_what_was_always_liked_goes_past_the_blocks() -> None:
    encoder = make_sequence_encoder(CONFIG.model_copy(update={"long_term": True})).eval()
    with torch.no_grad():
        for parameter in encoder[0].parameters():
            parameter.zero_()  # so that the block says nothing of its own
    x = torch.randn(2, 5, 8)
    means = torch.stack([x[:, : place + 1].mean(dim=1) for place in range(5)], dim=1)
    torch.testing.assert_close(encoder(x), torch.nn.functional.layer_norm(x + means, (8,)))


@pytest.mark.parametrize("long_term", [True, False])
@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("name", ["transformer", "gru", "lstm", "cnn", "mean"])
def test_the_state_after_the_last_step_alone_is_that_of_all_states(name: str, blocks: int, long_term: bool) -> None:
    changes = {"sequence_encoder": name, "blocks": blocks, "long_term": long_term}
    encoder = make_sequence_encoder(CONFIG.model_copy(update=changes)).eval()
    x, last = torch.randn(4, 6, 8, generator=torch.manual_seed(0)), torch.tensor([5, 0, 3, 2])
    with torch.no_grad():
        torch.testing.assert_close(encoder.last(x, last), encoder(x)[torch.arange(4), last])


@pytest.mark.parametrize("encoder", ["transformer", "gru", "lstm", "cnn", "mean"])
def test_a_user_does_not_depend_on_the_others_in_the_batch(encoder: str) -> None:
    net = net_of(graph_of(), sequence_encoder=encoder)
    items = net.item_vectors(graph_of())
    together = histories([1, 2, 3, 4, 5], [], [6], [7, 8])
    users = net.user_vectors(together, items)
    for row in range(4):
        torch.testing.assert_close(users[[row]], net.user_vectors(together.select([row]), items))
    torch.testing.assert_close(users, net.user_vectors(together, items, positions=4))


def test_order_inside_a_basket_is_nothing_and_between_steps_something() -> None:
    net = net_of(graph_of())
    items = net.item_vectors(graph_of())
    same = [0, 0, 1]
    basket = net.user_vectors(histories([1, 2, 3], hours=same), items)
    torch.testing.assert_close(basket, net.user_vectors(histories([2, 1, 3], hours=same), items))
    in_order = net.user_vectors(histories([1, 2, 3]), items)
    assert (in_order - net.user_vectors(histories([2, 1, 3]), items)).abs().max() > 1e-4
    assert (in_order - basket).abs().max() > 1e-4


def test_kind_and_gap_are_read() -> None:
    net = net_of(graph_of())
    items = net.item_vectors(graph_of())
    viewed = net.user_vectors(histories([1, 2]), items)
    assert (viewed - net.user_vectors(histories([1, 2], kind=1), items)).abs().max() > 1e-5
    assert (viewed - net.user_vectors(histories([1, 2], hours=[0, 500]), items)).abs().max() > 1e-5
    # kinds that came after the training say nothing yet, but do no harm
    unknown = net.user_vectors(histories([1, 2], kind=2), items)
    torch.testing.assert_close(unknown, net.user_vectors(histories([1, 2], kind=7), items))


def test_several_nets_serve_the_average_of_their_logits() -> None:
    graph = graph_of()
    net = net_of(graph, nets=3)
    for part, temperature in zip(net.parts, (5.0, 10.0, 30.0), strict=True):
        torch.nn.init.constant_(part.log_temperature, math.log(temperature))
    items, rows = net.item_vectors(graph), histories([1, 2, 3], [4, 5])
    windows = newest_windows(rows, 10)
    batch = make_batch(windows, np.arange(2), training=False)
    with torch.no_grad():
        logits = [
            part.log_temperature.exp() * part.user_vectors(vectors, batch).flatten(0, 2)[batch.last] @ vectors.T
            for part, vectors in zip(net.parts, net.item_parts(net.read(graph)), strict=True)
        ]
    served = net.temperature * net.user_vectors(rows, items)[:, 0] @ items.T
    torch.testing.assert_close(served, torch.stack(logits).mean(dim=0), atol=1e-4, rtol=1e-4)
    assert net.temperature == pytest.approx(15.0)


def test_probabilities_sum_to_one_and_take_the_nearest_interest() -> None:
    net = net_of(graph_of(), interests=3)
    items = net.item_vectors(graph_of())
    p = NetSource(net, items.numpy()).probabilities(net.user_vectors(histories([1, 2, 3], []), items).numpy())
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    nearest = (net.user_vectors(histories([1, 2, 3], []), items) @ items.T).amax(dim=1).argmax(dim=1)
    assert p.argmax(axis=1).tolist() == nearest.tolist()


def test_centered_vectors_have_no_common_part() -> None:
    graph = graph_of()
    for centered in (False, True):
        net = net_of(graph, centered=centered, graph_encoder="none")
        torch.nn.init.constant_(net.parts[0].category.weight, 0.5)  # something that all items share
        vectors = net.item_vectors(graph)
        common = vectors[1:4].mean(dim=0).norm()  # items 1, 2, 3 have an event each
        assert common < 0.1 if centered else common > 0.9


def test_a_graph_without_events_is_not_centered() -> None:
    graph = graph_of()
    graph["user", "view", "item"].edge_index = torch.zeros(2, 0, dtype=torch.long)
    graph["user", "view", "item"].edge_weight = torch.zeros(0)
    plain, centered = (net_of(graph, centered=centered).item_vectors(graph) for centered in (False, True))
    torch.testing.assert_close(plain, centered)


def test_a_newer_graph_may_hold_other_items() -> None:
    old = graph_of(20, first_id=100)
    net = net_of(old)
    new = graph_of(23, first_id=98)  # two before, one behind the known ones
    vectors, before = net.item_vectors(new), net.item_vectors(old)
    assert vectors.shape == (23, 8)
    assert torch.isfinite(vectors).all()
    # without neighbours an item is its id and categories, so known ones are found again wherever they stand
    torch.testing.assert_close(vectors[12], before[10])
    # unknown ones are their categories: 22 and another even unknown would be equal
    alone = net.parts[0].category.weight[[0, 2]].mean(dim=0)
    torch.testing.assert_close(vectors[22], torch.nn.functional.normalize(alone, dim=0))


def test_a_net_comes_back_from_its_state() -> None:
    net = net_of(graph_of(), nets=2)
    again = InterestNet.from_state(net.config, net.state_dict())
    items = net.item_vectors(graph_of())
    torch.testing.assert_close(items, again.item_vectors(graph_of()))
    rows = histories([1, 2], [3])
    torch.testing.assert_close(net.user_vectors(rows, items), again.user_vectors(rows, items))
    assert not again.training


def test_no_users_at_all() -> None:
    net = net_of(graph_of())
    assert net.user_vectors(histories(), net.item_vectors(graph_of())).shape == (0, 1, 8)


@pytest.mark.parametrize(
    ("switch", "table"), [("categories", "category"), ("kinds", "kind"), ("gaps", "gap"), ("places", "place")]
)
def test_what_is_switched_off_is_not_read(switch: str, table: str) -> None:
    read, unread = net_of(graph_of()), net_of(graph_of(), **{switch: False})
    before = [vectors_of(net) for net in (read, unread)]
    with torch.no_grad():
        for net in (read, unread):
            getattr(net.parts[0], table).weight.normal_()
    assert not torch.allclose(vectors_of(read), before[0])
    assert torch.equal(vectors_of(unread), before[1])


def vectors_of(net: InterestNet) -> torch.Tensor:
    """Of a user whose events came hours apart."""
    return net.user_vectors(histories([1, 2, 3], hours=[0, 5, 50]), net.item_vectors(graph_of()))
