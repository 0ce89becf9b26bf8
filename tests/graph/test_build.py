from collections.abc import Callable

import pytest
import torch

from graph import schema
from graph.build import build_graph, check_graph, decay_factor
from graph.schema import EdgeType, event_edge, reverse
from graph.snapshot import Snapshot
from graph.storage.errors import BadInputError, PenchantError
from graph.storage.kinds import EventKind

MakeSnapshot = Callable[..., Snapshot]
DAY_US = 86_400_000_000
ROWS = [
    (0, 1, 0, 90, -1),  # two views of one item, 10 and 20 days old
    (0, 1, 0, 80, -1),
    (0, 2, 1, 91, -1),
    (1, 2, 1, 92, -1),
    (1, 2, 1, 93, -1),
    (1, 3, 2, 94, -1),  # a dislike
    (1, 4, 3, 95, -1),  # shown: says nothing
]


@pytest.fixture
def snapshot(make_snapshot: MakeSnapshot) -> Snapshot:
    return make_snapshot(ROWS, parents=[-1, 0, 0], item_category=[(1, 1), (2, 1), (2, 2)])


def edges(data: object, edge_type: EdgeType) -> dict[tuple[int, int], float]:
    store = data[edge_type]  # type: ignore[index]  # PyTorch Geometric has no types
    pairs = zip(*store.edge_index.tolist(), strict=True)
    return dict(zip(pairs, store.edge_weight.tolist(), strict=True))


def test_nodes_edges_and_weights(snapshot: Snapshot) -> None:
    data = build_graph(snapshot)
    assert data.validate()
    assert data.node_types == ["user", "item", "category"]
    assert [data[node].num_nodes for node in data.node_types] == [3, 6, 3]
    assert data["item"].node_id.tolist() == list(range(6))
    # weight .5, half-life 10 days: .5 · (1/2 + 1/4)
    assert edges(data, event_edge("view")) == {(0, 1): pytest.approx(0.375)}
    assert edges(data, event_edge("purchase")) == {(0, 2): 1.0, (1, 2): 2.0}
    assert edges(data, event_edge("dislike")) == {(1, 3): 1.0}
    assert event_edge("shown") not in data.edge_types
    assert edges(data, schema.ITEM_FOLLOWED_BY_ITEM) == {(1, 2): 1.5}
    assert edges(data, schema.ITEM_IN_CATEGORY) == {(1, 1): 1.0, (2, 1): 1.0, (2, 2): 1.0}
    assert edges(data, schema.CATEGORY_CHILD_OF_CATEGORY) == {(1, 0): 1.0, (2, 0): 1.0}


def test_every_edge_has_its_reverse(snapshot: Snapshot) -> None:
    data = build_graph(snapshot)
    forward = [edge_type for edge_type in data.edge_types if not edge_type[1].startswith(schema.REVERSE)]
    assert len(data.edge_types) == 2 * len(forward)
    for edge_type in forward:
        turned = {(b, a): weight for (a, b), weight in edges(data, edge_type).items()}
        assert edges(data, reverse(edge_type)) == turned


def test_a_new_day_is_one_factor(snapshot: Snapshot) -> None:
    view = snapshot.kinds[0]
    today = build_graph(snapshot)
    kept = build_graph(snapshot, epoch_us=50 * DAY_US)
    factor = decay_factor(view, 50 * DAY_US, snapshot.as_of)
    assert factor == pytest.approx(2**-5)
    weight = kept[event_edge("view")].edge_weight * factor
    assert torch.allclose(weight, today[event_edge("view")].edge_weight)
    assert decay_factor(snapshot.kinds[1], 0, snapshot.as_of) == 1
    # The same events against the same epoch weigh the same, whenever the graph is built.
    earlier = build_graph(snapshot.until(95 * DAY_US), epoch_us=50 * DAY_US)
    assert torch.equal(earlier[event_edge("view")].edge_weight, kept[event_edge("view")].edge_weight)


@pytest.mark.parametrize("epoch_us", [-(2**60), 2**60])
def test_weights_stay_finite_and_positive_against_any_epoch(snapshot: Snapshot, epoch_us: int) -> None:
    weight = build_graph(snapshot, epoch_us=epoch_us)[event_edge("view")].edge_weight
    assert torch.isfinite(weight).all()
    assert (weight > 0).all()


def test_an_empty_snapshot_makes_an_empty_graph(make_snapshot: MakeSnapshot) -> None:
    data = build_graph(make_snapshot([], n_users=0, n_items=0))
    assert data.num_nodes == 0
    assert data.num_edges == 0
    assert build_graph(make_snapshot([])).num_nodes == 9


def test_settings_names_and_cycles_are_refused(snapshot: Snapshot, make_snapshot: MakeSnapshot) -> None:
    with pytest.raises(BadInputError, match="at least 1"):
        build_graph(snapshot, max_distance=0)
    with pytest.raises(BadInputError, match="'in'"):
        build_graph(make_snapshot([], kinds=(EventKind(1, "in", 1.0, 1, None),)))
    with pytest.raises(BadInputError, match=r"c0 > c1 > c0|c1 > c0 > c1"):
        build_graph(make_snapshot([], parents=[1, 0]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda store: store.edge_index[1].fill_(99), "not exist|consistent"),
        (lambda store: store.edge_index[0].fill_(-1), "not exist|consistent"),
        (lambda store: store.edge_weight.fill_(float("nan")), "finite"),
        (lambda store: store.edge_weight.fill_(0), "positive"),
        (lambda store: setattr(store, "edge_weight", store.edge_weight[1:]), "weights for"),
    ],
)
def test_a_spoilt_graph_is_refused(snapshot: Snapshot, spoil: Callable[[object], object], message: str) -> None:
    data = build_graph(snapshot)
    spoil(data[event_edge("purchase")])
    with pytest.raises(PenchantError, match=message):
        check_graph(data)
