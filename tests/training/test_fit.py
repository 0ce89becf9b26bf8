"""The loop: it learns what is planted, the same twice, killed or not, and stops when numbers stop being numbers.

Run as a program (`python test_fit.py FOLDER`) it trains once with checkpoints there; the test kills that program.
"""

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graph.histories import Histories, histories_from_arrays
from graph.storage.errors import TrainingError
from training.checkpoint import NAME
from training.config import NetConfig
from training.fit import FitResult, Progress, fit
from training.losses import softmax_loss
from training.pairwise_losses import LOSSES
from training.validation import Validation

N_ITEMS, N_USERS, LENGTH = 40, 200, 8
SMALL = NetConfig(dim=16, negatives=16, batch_positions=400, epochs=4, patience=4, dropout=0.2, max_history=6, seed=3)


def chains() -> tuple[HeteroData, Histories, Validation]:
    """Users who walk from item i to i + 1 (or once in a while anywhere); held out is the last step."""
    random = np.random.default_rng(0)
    walk = (random.integers(N_ITEMS, size=(N_USERS, 1)) + np.arange(LENGTH)) % N_ITEMS
    stray = random.random(walk.shape) < 0.1
    walk[stray] = random.integers(N_ITEMS, size=stray.sum())
    user = np.repeat(np.arange(N_USERS), LENGTH - 1)
    when = np.tile(np.arange(LENGTH - 1) * 3_600_000_000, N_USERS)
    histories = histories_from_arrays(user, walk[:, :-1].ravel(), when, n_users=N_USERS, n_items=N_ITEMS)
    held_out = Validation(histories, np.arange(N_USERS + 1), walk[:, -1].astype(np.int64), exclude_seen=False)

    graph = HeteroData()
    for node, size in (("user", N_USERS), ("item", N_ITEMS), ("category", 4)):
        graph[node].num_nodes, graph[node].node_id = size, torch.arange(size)
    followed = np.stack([walk[:, :-2].ravel(), walk[:, 1:-1].ravel()])
    for edge, ends in (
        (("user", "purchase", "item"), np.stack([user, walk[:, :-1].ravel()])),
        (("item", "followed_by", "item"), followed),
        (("item", "in", "category"), np.stack([np.arange(N_ITEMS), np.arange(N_ITEMS) // 10])),
    ):
        graph[edge].edge_index = torch.from_numpy(ends.astype(np.int64))
        graph[edge].edge_weight = torch.ones(ends.shape[1])
    return graph, histories, held_out


def train(config: NetConfig = SMALL, **options: Any) -> FitResult:
    torch.set_num_threads(1)
    return fit(*chains(), config, n_kinds=1, device="cpu", **options)


def equal(a: FitResult, b: FitResult) -> bool:
    ours, theirs = a.net.state_dict(), b.net.state_dict()
    figures = [[(epoch.loss, epoch.ndcg) for epoch in result.epochs] for result in (a, b)]
    return figures[0] == figures[1] and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_learns_the_chain() -> None:
    result = train(SMALL.model_copy(update={"epochs": 25, "patience": 25}))
    assert max(epoch.ndcg for epoch in result.epochs) > 0.6  # a guess among 40 reaches 0.11
    assert result.epochs[-1].loss < result.epochs[0].loss


@pytest.mark.parametrize(
    "change",
    [
        {"nets": 2},
        {"interests": 3},
        {"graph_encoder": "none"},
        {"graph_encoder": "lightgcn"},
        {"graph_encoder": "directed"},
        {"negatives": 4096},
    ],
)
def test_every_shape_of_net_learns(change: dict[str, Any]) -> None:
    result = train(SMALL.model_copy(update={"epochs": 12, "patience": 12, **change}))
    assert max(epoch.ndcg for epoch in result.epochs) > 0.4


@pytest.mark.parametrize("change", [{}, {"interests": 3}, {"sequence_encoder": "gru"}])
def test_learns_in_mixed_precision(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What a CUDA device does, bfloat16 where it suffices, done on the CPU."""
    monkeypatch.setattr("training.fit.mixed_precision", lambda _: torch.autocast("cpu", dtype=torch.bfloat16))
    result = train(SMALL.model_copy(update={"epochs": 12, "patience": 12, **change}))
    assert max(epoch.ndcg for epoch in result.epochs) > 0.4
    assert all(parameter.dtype == torch.float32 for parameter in result.net.parameters())


def test_same_seed_same_bits() -> None:
    first = train()
    torch.rand(5)  # the caller's random state is neither used nor changed
    assert equal(first, train())
    assert not equal(first, train(SMALL.model_copy(update={"seed": 4})))


def test_leaves_the_callers_random_state_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train(SMALL.model_copy(update={"epochs": 1}))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_and_resumed_ends_as_if_never_killed(tmp_path: Path) -> None:
    undisturbed = train()
    random = np.random.default_rng(7)
    kills = 0
    while kills < 3:
        program = [sys.executable, __file__, str(tmp_path)]
        child = subprocess.Popen(program, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        checkpoint = tmp_path / NAME
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        while child.poll() is None and not (checkpoint.exists() and checkpoint.stat().st_mtime_ns != written):
            time.sleep(0.001)
        time.sleep(random.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        if child.wait() != -signal.SIGKILL:  # it was quicker and is done
            break
        kills += 1
    assert kills > 0
    assert equal(undisturbed, train(checkpoint_dir=tmp_path, resume=True))


def test_resumes_within_an_epoch(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        if progress.epoch == 2 and progress.batch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(checkpoint_dir=tmp_path, checkpoint_seconds=0.0, on_progress=stop)
    batches: list[Progress] = []
    resumed = train(checkpoint_dir=tmp_path, resume=True, on_progress=batches.append)
    assert (batches[0].epoch, batches[0].batch) == (2, 2)  # the second batch was done, but not yet saved
    assert equal(train(), resumed)


def test_without_resume_it_starts_anew(tmp_path: Path) -> None:
    train(SMALL.model_copy(update={"epochs": 1}), checkpoint_dir=tmp_path)
    assert equal(train(), train(checkpoint_dir=tmp_path))


def test_other_settings_do_not_resume(tmp_path: Path) -> None:
    train(SMALL.model_copy(update={"epochs": 1}), checkpoint_dir=tmp_path)
    with pytest.raises(TrainingError, match="dim, epochs"):
        train(SMALL.model_copy(update={"dim": 32}), checkpoint_dir=tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epoch = 1

    def follow(progress: Progress) -> None:
        nonlocal epoch
        epoch = progress.epoch + (progress.batch == progress.batches)

    def breaks(*arguments: Any) -> Tensor:
        return softmax_loss(*arguments) * (math.nan if epoch == 3 else 1.0)

    monkeypatch.setitem(LOSSES, "softmax", breaks)
    with pytest.raises(TrainingError, match=f"loss nan.*epoch 3.*{tmp_path}") as caught:
        train(checkpoint_dir=tmp_path, on_progress=follow)
    assert caught.value.hint
    monkeypatch.undo()
    assert equal(train(), train(checkpoint_dir=tmp_path, resume=True))


def test_stops_when_validation_no_longer_improves() -> None:
    result = train(SMALL.model_copy(update={"epochs": 60, "patience": 3}))
    assert len(result.epochs) == result.best_epoch + 3 < 60
    assert result.epochs[result.best_epoch - 1].ndcg == max(epoch.ndcg for epoch in result.epochs)


def test_the_epoch_in_which_the_budget_ends_is_the_last(tmp_path: Path) -> None:
    result = train(checkpoint_dir=tmp_path, budget_s=0.0)
    assert len(result.epochs) == result.best_epoch == 1
    assert len(train(checkpoint_dir=tmp_path, resume=True, budget_s=0.0).epochs) == 1  # nothing is left of it
    assert equal(train(checkpoint_dir=tmp_path, resume=True), train())


def test_tells_how_it_goes() -> None:
    seen: list[Progress] = []
    train(SMALL.model_copy(update={"epochs": 2}), on_progress=seen.append)
    assert [p.batch for p in seen] == 2 * list(range(1, seen[0].batches + 1))
    assert math.isnan(seen[0].best_ndcg)
    assert seen[-1].best_ndcg > 0
    assert all(p.loss > 0 and p.rows_per_second > 0 for p in seen)
    assert seen[0].seconds_left > seen[-1].seconds_left == 0


def test_nothing_to_learn_from() -> None:
    graph, _, held_out = chains()
    nothing = histories_from_arrays([], [], [], n_users=N_USERS, n_items=N_ITEMS)
    with pytest.raises(TrainingError, match="no events") as caught:
        fit(graph, nothing, held_out, SMALL, n_kinds=1)
    assert caught.value.hint


if __name__ == "__main__":
    train(checkpoint_dir=Path(sys.argv[1]), resume=True, checkpoint_seconds=0.0)
