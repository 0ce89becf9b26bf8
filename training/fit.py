"""The training loop: histories and a graph in, the averaged weights of the best epoch out.

Each step encodes all items over the graph, encodes one batch of users from them, and descends the softmax loss.
What is evaluated and kept is the exponential moving average (EMA) of the weights.
"""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import HeteroData

from graph.arrays import Int64s
from graph.features.encoder import FeatureEncoder
from graph.histories import Histories
from graph.schema import CATEGORY, ITEM
from graph.storage.errors import TrainingError
from training.batches import Batch, Windows, bucketed, training_batches, training_windows
from training.category_loss import category_loss
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import NetConfig
from training.curves import Epoch
from training.device import choose_device, mixed_precision
from training.item_graph import ItemGraph
from training.losses import Pairs, negative_proposal, sample_negatives
from training.model import InterestNet
from training.pairwise_losses import LOSSES
from training.prior import log_prior
from training.validation import Validation, ndcg

CLIP_NORM = 5.0


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows after each batch."""

    epoch: int
    batch: int
    batches: int
    loss: float
    best_ndcg: float
    """NaN before the first epoch has ended."""
    rows_per_second: float
    """Training pairs (user position, next item)."""
    seconds_left: float
    """Upper bound: until the last epoch, should it not stop early."""


@dataclass(frozen=True)
class FitResult:
    net: InterestNet
    """The averaged weights of the best epoch, in eval mode."""
    epochs: list[Epoch]
    best_epoch: int
    """Counted from 1."""
    seconds: float


@dataclass
class Run:
    """All that changes while training; what a checkpoint holds."""

    net: InterestNet
    average: InterestNet
    optimiser: torch.optim.Optimizer
    epochs: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    batch: int = 0
    """Batches of the current epoch that are done, and the sum of their losses."""
    loss: float = 0.0
    seconds: float = 0.0

    @property
    def best_epoch(self) -> int:
        return max(range(len(self.epochs)), key=lambda number: self.epochs[number].ndcg) + 1 if self.epochs else 0


def fit(
    graph: HeteroData,
    histories: Histories,
    validation: Validation,
    config: NetConfig,
    *,
    n_kinds: int,
    encoder: FeatureEncoder | None = None,
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    device: str = "auto",
    checkpoint_seconds: float = 60.0,
    budget_s: float = math.inf,
) -> FitResult:
    """Trains a net. The graph must come from the events of `histories` alone: one that knows validation items leaks.

    `encoder`: that of the graph's item features, kept with the net for the graphs that are to come.
    `budget_s`: the epoch in which so many seconds have passed, interruptions left out, is the last.
    The same seed gives the same numbers on a CPU with the same number of threads, interrupted and resumed or not.
    Raises TrainingError when there is nothing to learn from, or when loss or gradients are no longer finite; the last
    good state is then the checkpoint, which the message names.
    """
    windows = training_windows(histories, config.max_history)
    if len(windows) == 0:
        raise TrainingError("there are no events to train on", hint="Ingest events, or choose a later cut.")
    where = choose_device(device)
    with torch.random.fork_rng(devices=[where] if where.type == "cuda" else []):
        torch.manual_seed(config.seed)
        known = torch.from_numpy(np.bincount(histories.item, minlength=graph[ITEM].num_nodes) > 0)
        run = _start(graph[ITEM].node_id[known], graph, config, n_kinds, encoder, where)
        saved = load_checkpoint(checkpoint_dir, config.model_dump(mode="json")) if checkpoint_dir and resume else None
        if saved:
            _restore(run, saved, where)
        items = run.net.read(graph)
        _train(run, items, windows, validation, config, checkpoint_dir, on_progress, checkpoint_seconds, budget_s)
        return FitResult(InterestNet.from_state(config, run.best), run.epochs, run.best_epoch, run.seconds)


def _train(
    run: Run,
    items: ItemGraph,
    windows: Windows,
    validation: Validation,
    config: NetConfig,
    folder: Path | None,
    on_progress: Callable[[Progress], None] | None,
    checkpoint_seconds: float,
    budget_s: float,
) -> None:
    device = items.item_ids.device
    n_batches = len(bucketed(windows.steps, config.batch_positions))
    events = np.bincount(windows.histories.item, minlength=len(items.item_ids))
    proposal = negative_proposal(torch.from_numpy(events).to(device), config)
    prior = _prior(events, config, device)
    clock = _Clock(run.seconds)
    saved_at = run.seconds
    while (
        len(run.epochs) < config.epochs
        and len(run.epochs) - run.best_epoch < config.patience
        and (run.seconds < budget_s or not run.epochs)
    ):
        for batch in training_batches(windows, config.batch_positions, config.seed, len(run.epochs), skip=run.batch):
            run.loss += _descend(run, items, batch.to(device), proposal, prior, config, folder)
            run.batch += 1
            run.seconds = clock.tick(len(batch.target))
            if on_progress:
                left = (config.epochs - len(run.epochs)) * n_batches - run.batch
                on_progress(_progress(run, n_batches, clock.rows_per_second, left * clock.seconds_per_batch))
            if folder and run.seconds - saved_at > checkpoint_seconds:
                _save(run, folder, config)
                saved_at = run.seconds
        run.average.eval()
        score = ndcg(run.average, run.average.item_vectors(items), validation, known=proposal > 0, prior=prior)
        run.seconds = clock.tick(0)
        run.epochs.append(Epoch(loss=run.loss / run.batch, ndcg=score, seconds=run.seconds))
        run.batch, run.loss = 0, 0.0
        if run.best_epoch == len(run.epochs):
            run.best = {name: value.detach().cpu().clone() for name, value in run.average.state_dict().items()}
        if folder:
            _save(run, folder, config)
            saved_at = run.seconds


def _descend(
    run: Run,
    items: ItemGraph,
    batch: Batch,
    proposal: Tensor,
    prior: Tensor | None,
    config: NetConfig,
    folder: Path | None,
) -> float:
    """One step of the optimiser and of the average; the batch's loss, the mean over the nets."""
    run.net.train()
    with mixed_precision(items.item_ids.device):
        losses = []
        for net, vectors in zip(run.net.parts, run.net.item_parts(items), strict=True):
            users = net.user_vectors(vectors, batch).flatten(0, 1)
            negatives = sample_negatives(proposal, config)
            temperature = net.log_temperature.exp()
            pairs = Pairs(users, vectors, batch.query, batch.target, temperature, prior)
            loss = LOSSES[config.loss](pairs, negatives)
            if config.category_loss:
                labels = net.category(run.net.category_rows(items))
                of_kind = category_loss(users, batch.query, batch.target, items.categories, labels, temperature)
                loss = loss + config.category_loss * of_kind
            losses.append(loss)
        loss = torch.stack(losses).sum()
    run.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    norm = torch.nn.utils.clip_grad_norm_(run.net.parameters(), CLIP_NORM)
    value = float(loss.detach()) / len(losses)
    if not math.isfinite(value) or not torch.isfinite(norm):
        kept = (
            f"The last good state is {folder}." if folder and run.epochs else "No epoch had ended, so nothing was kept."
        )
        raise TrainingError(
            f"loss {value}, gradient {float(norm)} in epoch {len(run.epochs) + 1}. {kept}",
            hint="Lower the learning rate.",
        )
    run.optimiser.step()
    run.step += 1
    # Early on the average follows closely, or it would remember the random start.
    decay = min(config.ema, (1 + run.step) / (10 + run.step))
    with torch.no_grad():
        torch._foreach_lerp_(list(run.average.parameters()), list(run.net.parameters()), 1 - decay)
    return value


def _prior(events: Int64s, config: NetConfig, device: torch.device) -> Tensor | None:
    prior = log_prior(events, config.popularity_prior)
    return None if prior is None else torch.from_numpy(prior).to(device)


def _start(
    item_ids: Tensor,
    graph: HeteroData,
    config: NetConfig,
    n_kinds: int,
    encoder: FeatureEncoder | None,
    device: torch.device,
) -> Run:
    net = InterestNet(config, item_ids, graph[CATEGORY].node_id, n_kinds, encoder).to(device)
    average = copy.deepcopy(net).requires_grad_(requires_grad=False)
    optimiser = torch.optim.AdamW(
        net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    return Run(net, average, optimiser)


def _save(run: Run, folder: Path, config: NetConfig) -> None:
    state: dict[str, Any] = {
        "config": config.model_dump(mode="json"),
        "net": run.net.state_dict(),
        "average": run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "best": run.best,
        "epochs": [asdict(epoch) for epoch in run.epochs],
        "step": run.step,
        "batch": run.batch,
        "loss": run.loss,
        "seconds": run.seconds,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }
    save_checkpoint(folder, state)


def _restore(run: Run, state: dict[str, Any], device: torch.device) -> None:
    run.net.load_state_dict(state["net"])
    run.average.load_state_dict(state["average"])
    run.optimiser.load_state_dict(state["optimiser"])
    run.best = state["best"]
    run.epochs = [Epoch(**epoch) for epoch in state["epochs"]]
    run.step, run.batch, run.loss, run.seconds = state["step"], state["batch"], state["loss"], state["seconds"]
    torch.set_rng_state(state["random"])
    if device.type == "cuda" and state["random_cuda"] is not None:
        torch.cuda.set_rng_state(state["random_cuda"])


class _Clock:
    """Wall time of a run over its interruptions, and its pace since the start of this process."""

    def __init__(self, before: float) -> None:
        self.before, self.began, self.rows, self.batches = before, time.perf_counter(), 0, 0

    def tick(self, rows: int) -> float:
        self.rows += rows
        self.batches += rows > 0
        self.here = time.perf_counter() - self.began
        return self.before + self.here

    @property
    def rows_per_second(self) -> float:
        return self.rows / max(self.here, 1e-9)

    @property
    def seconds_per_batch(self) -> float:
        return self.here / max(self.batches, 1)


def _progress(run: Run, n_batches: int, rows_per_second: float, seconds_left: float) -> Progress:
    return Progress(
        epoch=len(run.epochs) + 1,
        batch=run.batch,
        batches=n_batches,
        loss=run.loss / run.batch,
        best_ndcg=run.epochs[run.best_epoch - 1].ndcg if run.epochs else math.nan,
        rows_per_second=rows_per_second,
        seconds_left=seconds_left,
    )
