"""What only a CUDA device can show: the same net as on the CPU, whatever its encoders; skipped without one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_fit import SMALL, chains
from training.fit import FitResult, Progress, fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def train(change: dict[str, Any], device: str = "cuda", **options: Any) -> FitResult:
    config = SMALL.model_copy(update={"epochs": 12, "patience": 12, **change})
    return fit(*chains(), config, n_kinds=1, device=device, **options)


@pytest.mark.parametrize(
    "change",
    [
        {"graph_encoder": "attention", "category_loss": 0.2, "centered": True, "long_term": True, "id_dropout": 0.1},
        {"graph_encoder": "lightgcn", "relations": ("neighbours", "shared_user", "shared_category")},
        {"graph_encoder": "directed", "relations": ("forward", "backward")},
        {"graph_encoder": "none", "nets": 2},
        {"interests": 3, "popularity_prior": 1.0, "popular_negatives": 0.5},
        {"sequence_encoder": "gru"},
        {"sequence_encoder": "lstm"},
        {"sequence_encoder": "cnn"},
        {"loss": "bpr"},
        {"loss": "bce"},
    ],
)
def test_learns_as_on_the_cpu(change: dict[str, Any]) -> None:
    ours, plain = (max(epoch.ndcg for epoch in train(change, device).epochs) for device in ("cuda", "cpu"))
    assert ours == pytest.approx(plain, abs=0.12)  # other random numbers, bfloat16
    assert ours > 0.35  # a guess reaches 0.11


def test_vectors_are_those_of_the_cpu() -> None:
    graph, histories, _ = chains()
    net = train({"graph_encoder": "attention"}).net
    items = net.item_vectors(graph)
    users = net.user_vectors(histories, items)
    net.cuda()
    there = net.item_vectors(graph)
    assert torch.allclose(there.cpu(), items, atol=1e-4)
    assert torch.allclose(net.user_vectors(histories, there).cpu(), users, atol=1e-3)


def test_resumes_on_the_device(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch == 2 and progress.batch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train({"epochs": 4}, checkpoint_dir=tmp_path, checkpoint_seconds=0, on_progress=stop)
    more = train({"epochs": 4}, checkpoint_dir=tmp_path, resume=True)
    assert len(more.epochs) == 4
    assert all(not parameter.is_cuda for parameter in more.net.parameters())
