"""What a net reads of a graph, against the plain definition."""

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch_geometric.data import HeteroData

from training.config import NetConfig, RelationName
from training.edge_attention import EdgeAttention
from training.edges import edge_means, edge_products, edge_softmax
from training.graph_encoder import GraphEncoder
from training.item_graph import Adjacency, read_graph

CPU = torch.device("cpu")
FOLLOWS = np.array([[0, 2, 1, 0], [1, 0, 4, 0], [0, 0, 0, 0], [0, 0, 3, 0]], np.float32)
OWNS = np.array([[1, 1, 0, 0], [0, 1, 2, 0]], np.float32)
IN_CATEGORY = np.array([[0, 0, 1], [0, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)
CHILD_OF = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)  # 2 -> 1 -> 0
PATHS = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 0], [1, 0, 0]], np.float32)


def graph_of() -> HeteroData:
    graph = HeteroData()
    for node, size in (("user", 2), ("item", 4), ("category", 3)):
        graph[node].num_nodes, graph[node].node_id = size, torch.arange(size)
    for edge, weights in (
        (("user", "view", "item"), OWNS),
        (("item", "followed_by", "item"), FOLLOWS),
        (("item", "in", "category"), IN_CATEGORY),
        (("category", "child_of", "category"), CHILD_OF),
    ):
        graph[edge].edge_index = torch.from_numpy(np.stack(np.nonzero(weights)))
        graph[edge].edge_weight = torch.from_numpy(weights[np.nonzero(weights)])
    return graph


def rows_to_one(weights: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    rows: np.ndarray = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
    return rows


def read(relation: RelationName, **changes: int) -> np.ndarray:
    """The relation as one matrix [V, V]: what it does to unit vectors."""
    config = NetConfig(relations=(relation,)).model_copy(update=changes)
    x = torch.eye(4)
    for matrix in read_graph(graph_of(), config, CPU).relations[0]:
        x = matrix.mean(x)
    return x.numpy()


@pytest.mark.parametrize(
    ("relation", "expected"),
    [
        ("forward", rows_to_one(FOLLOWS)),
        ("backward", rows_to_one(FOLLOWS.T)),
        ("neighbours", rows_to_one(FOLLOWS + FOLLOWS.T)),
        ("shared_user", rows_to_one(OWNS.T) @ rows_to_one(OWNS)),
        ("shared_category", rows_to_one(PATHS) @ rows_to_one(PATHS.T)),
    ],
)
def test_relations(relation: RelationName, expected: np.ndarray) -> None:
    np.testing.assert_allclose(read(relation), expected, atol=1e-6)


def test_only_the_strongest_neighbours_are_heard() -> None:
    strongest = np.array([[0, 3, 0, 0], [0, 0, 4, 0], [0, 4, 0, 0], [0, 0, 3, 0]], np.float32)
    np.testing.assert_allclose(read("neighbours", keep_neighbours=1), rows_to_one(strongest), atol=1e-6)


def test_items_of_few_users_stay_out() -> None:
    graph = graph_of()
    edges = graph["user", "view", "item"]  # items 1 and 2 have two users now
    edges.edge_index = torch.cat([edges.edge_index, torch.tensor([[0], [2]])], dim=1)
    edges.edge_weight = torch.cat([edges.edge_weight, torch.ones(1)])
    config = NetConfig(min_item_users=2)
    found = read_graph(graph, config, CPU).relations[0][0].mean(torch.eye(4))
    expected = np.zeros((4, 4), np.float32)
    expected[1, 2] = expected[2, 1] = 1
    np.testing.assert_allclose(found.numpy(), expected)


def test_a_hub_counts_by_its_share() -> None:
    both = FOLLOWS + FOLLOWS.T
    damped = both / np.maximum(both.sum(axis=0), 1e-12) ** 0.5
    damped[damped < np.sort(damped, axis=1)[:, [-2]]] = 0
    found = (
        read_graph(graph_of(), NetConfig(hub_damping=0.5, keep_neighbours=2), CPU).relations[0][0].mean(torch.eye(4))
    )
    np.testing.assert_allclose(found.numpy(), rows_to_one(damped), atol=1e-6)


def test_categories_reach_up_to_the_root() -> None:
    found = read_graph(graph_of(), NetConfig(), CPU).categories.mean(torch.eye(3))
    np.testing.assert_allclose(found.numpy(), rows_to_one(PATHS), atol=1e-6)


def test_none_reads_no_relation() -> None:
    assert read_graph(graph_of(), NetConfig(graph_encoder="none"), CPU).relations == ()


def test_gradient_of_the_mean_is_that_of_the_dense_product() -> None:
    dense = torch.from_numpy(rows_to_one(FOLLOWS))
    sparse = Adjacency.of(csr_array(FOLLOWS), CPU)
    x, y = torch.randn(4, 5).requires_grad_(), torch.randn(4, 5)
    ours = torch.autograd.grad((sparse.mean(x) * y).sum(), x)[0]
    torch.testing.assert_close(ours, torch.autograd.grad((dense @ x * y).sum(), x)[0])


def test_the_encoder_is_the_mean_over_steps_of_mixed_relations() -> None:
    config = NetConfig(graph_encoder="lightgcn", dim=4, relations=("forward", "shared_user"), propagation_steps=2)
    encoder = GraphEncoder(config)
    torch.nn.init.normal_(encoder.relation_weights)
    forward, users = (torch.from_numpy(read(name)) for name in config.relations)
    x = torch.randn(4, 4)
    states = [x]
    for a, b in encoder.relation_weights.softmax(dim=1).tolist():
        states.append((a * forward + b * users) @ states[-1])
    found = encoder(x, read_graph(graph_of(), config, CPU).relations)
    torch.testing.assert_close(found, torch.stack(states).mean(dim=0))


def test_directed_mixes_each_dimension_by_itself() -> None:
    config = NetConfig(graph_encoder="directed", dim=4, relations=("forward", "backward"), propagation_steps=1)
    encoder = GraphEncoder(config)
    with torch.no_grad():
        encoder.relation_weights[0] = torch.tensor([[50.0, 50, 0, 0], [0, 0, 50, 50]])
    forward, backward = (torch.from_numpy(read(name)) for name in config.relations)
    x = torch.randn(4, 4)
    found = encoder(x, read_graph(graph_of(), config, CPU).relations)
    heard = torch.cat([(forward @ x)[:, :2], (backward @ x)[:, 2:]], dim=1)
    torch.testing.assert_close(found, (x + heard) / 2)


def test_attention_begins_as_the_mean_and_leans_to_what_it_learns() -> None:
    config = NetConfig(graph_encoder="attention", dim=4, relations=("neighbours",), propagation_steps=1)
    relations = read_graph(graph_of(), config, CPU).relations
    mean = torch.from_numpy(read("neighbours"))
    encoder = GraphEncoder(config)
    x = torch.randn(4, 4)
    torch.testing.assert_close(encoder(x, relations), (x + mean @ x) / 2)

    attention = encoder.attention[0]
    assert isinstance(attention, EdgeAttention)
    for weight in (attention.query.weight, attention.hub.weight, attention.prior):
        torch.nn.init.normal_(weight) if weight.ndim else torch.nn.init.constant_(weight, 0.7)
    ends = torch.nn.functional.normalize(x, dim=-1) * 2
    logits = 0.7 * mean.log() + attention.query(ends) @ attention.key(ends).T / 32**0.5 + attention.hub(ends).T
    weights = logits.softmax(dim=1).nan_to_num()  # an item without neighbours hears nothing
    torch.testing.assert_close(encoder(x, relations), (x + weights @ x) / 2)


def test_gradients_along_edges_are_those_of_the_dense_form() -> None:
    weights = csr_array(np.array([[0, 2, 1, 0], [1, 0, 4, 0], [0, 1, 0, 0], [0, 0, 3, 0]], np.float32))
    edges, there = Adjacency.of(weights, CPU), torch.from_numpy(weights.toarray()) > 0
    q, k, x, y = (torch.randn(4, 5).requires_grad_() for _ in range(4))
    ours = edge_means(edge_softmax(edge_products(q, k, edges), edges), x, edges)
    dense = (q @ k.T).masked_fill(~there, -torch.inf).softmax(dim=1) @ x
    torch.testing.assert_close(ours, dense)
    for mine, plain in zip(
        torch.autograd.grad((ours * y).sum(), (q, k, x)), torch.autograd.grad((dense * y).sum(), (q, k, x)), strict=True
    ):
        torch.testing.assert_close(mine, plain)


def test_a_graph_without_these_edges() -> None:
    graph = HeteroData()
    for node, size in (("user", 0), ("item", 3), ("category", 0)):
        graph[node].num_nodes, graph[node].node_id = size, torch.arange(size)
    config = NetConfig(relations=("neighbours", "shared_user", "shared_category"))
    for matrices in read_graph(graph, config, CPU).relations:
        x = torch.eye(3)
        for matrix in matrices:
            x = matrix.mean(x)
        assert x.shape == (3, 3)
        assert not x.any()
    x = torch.randn(3, 4)
    for name in ("lightgcn", "directed", "attention"):
        alone = GraphEncoder(NetConfig(graph_encoder=name, dim=4, relations=config.relations))
        states = alone(x, read_graph(graph, config, CPU).relations)
        torch.testing.assert_close(states, x / 4)  # nobody to hear from in three steps
