"""NDCG@10 of the net's own validation, against the definition."""

import math

import numpy as np
import pytest
import torch

from graph.histories import histories_from_arrays
from graph.storage.errors import TrainingError
from training.config import NetConfig
from training.model import InterestNet
from training.validation import Validation, ndcg


def net_and_items() -> tuple[InterestNet, torch.Tensor]:
    torch.manual_seed(0)
    net = InterestNet(NetConfig(dim=8), torch.arange(30), torch.arange(0), 1).eval()
    return net, torch.nn.functional.normalize(torch.randn(30, 8), dim=-1)


def validation(*, exclude_seen: bool) -> Validation:
    histories = histories_from_arrays([0, 0, 1, 2], [1, 2, 3, 4], [0, 1, 0, 0], n_users=4, n_items=30)
    relevant = np.array([5, 6, 7, 8, *range(9, 24), 2, 0], np.int64)
    return Validation(histories, np.array([0, 2, 4, 19, 21]), relevant, exclude_seen)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("chunk", [1, 3, None])
@pytest.mark.parametrize("prior", [None, torch.linspace(-2, 2, 30)])
def test_ndcg(exclude_seen: bool, chunk: int | None, prior: torch.Tensor | None) -> None:
    net, items = net_and_items()
    queries = validation(exclude_seen=exclude_seen)
    cosines = net.user_vectors(queries.histories, items)[:, 0] @ items.T
    scores = (net.temperature * cosines + (0 if prior is None else prior)).numpy()
    expected = []
    for row in range(4):
        seen = queries.histories.select([row]).item.tolist() if exclude_seen else []
        ranked = [item for item in np.argsort(-scores[row]).tolist() if item not in seen][:10]
        relevant = queries.relevant[queries.relevant_offsets[row] : queries.relevant_offsets[row + 1]].tolist()
        gain = sum(1 / math.log2(place + 2) for place, item in enumerate(ranked) if item in relevant)
        expected.append(gain / sum(1 / math.log2(place + 2) for place in range(min(10, len(relevant)))))
    assert ndcg(net, items, queries, chunk, prior=prior) == pytest.approx(np.mean(expected), abs=1e-6)


def test_unknown_items_are_no_candidates() -> None:
    net, items = net_and_items()
    known = torch.zeros(30, dtype=torch.bool)
    known[:5] = True  # of the relevant items 0 and 2 alone
    queries = validation(exclude_seen=False)
    assert 0 < ndcg(net, items, queries, known=known) < 1
    assert ndcg(net, items, queries, known=~known) < 1
    only = torch.zeros(30, dtype=torch.bool)
    only[25] = True  # relevant for nobody
    assert ndcg(net, items, queries, known=only) == 0


def test_a_sample_keeps_queries_whole() -> None:
    queries = validation(exclude_seen=True)
    some = queries.sample(3, seed=1)
    assert len(some.histories) == 3
    whole = {
        (tuple(queries.histories.select([row]).item), tuple(queries.relevant[a:b]))
        for row, (a, b) in enumerate(zip(queries.relevant_offsets, queries.relevant_offsets[1:], strict=False))
    }
    kept = {
        (tuple(some.histories.select([row]).item), tuple(some.relevant[a:b]))
        for row, (a, b) in enumerate(zip(some.relevant_offsets, some.relevant_offsets[1:], strict=False))
    }
    assert len(kept) == 3
    assert kept < whole
    assert queries.sample(10) is queries


def test_scores_that_are_no_numbers_are_refused() -> None:
    net, items = net_and_items()
    items[3] = torch.nan
    with pytest.raises(TrainingError, match="not finite"):
        ndcg(net, items, validation(exclude_seen=False))
