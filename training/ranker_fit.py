"""The ranker is fitted last, on validation queries: to the order in which net, memories and gate had put the items.

Softmax cross-entropy of the relevant items among each query's candidates, over all items and again over those new to
the user, as for the gate. Each third of the queries judges what the others teach: a ranker is used only if it surely
ranks them better.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from graph.arrays import Bools, Float32s, Int32s
from training.evaluation.queries import Queries
from training.gate_fit import Objective, ndcgs
from training.mixture import Mixture, pieces_of, ranker_features
from training.ranker import Ranker, had_mask, inputs
from training.ranker_features import choose

WIDTH = 64
DROPOUT = 0.1
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-2
EPOCHS = 8
FEWEST_STEPS = 100
BATCH = 128
FOLDS = 3
"""Each third of the queries judges what the other two have taught."""
FEWEST_QUERIES = 200
"""With fewer nothing is learned that the next few would not overturn."""
SURE = 3.0


@dataclass(frozen=True, eq=False)
class Data:
    """Q queries with C candidates: `x` [Q, C, F], `log_p` [Q, C] of the mixture; bool `relevant`, `had`, `valid`."""

    x: Tensor
    log_p: Tensor
    relevant: Tensor
    had: Tensor
    valid: Tensor

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: Tensor) -> "Data":
        return Data(*(part[rows] for part in (self.x, self.log_p, self.relevant, self.had, self.valid)))

    def objectives(self, *, exclude_seen: bool) -> list[Objective]:
        """The rankings that count; only queries with a relevant candidate take part."""
        kinds = [~self.had] if exclude_seen else [torch.ones_like(self.had), ~self.had]
        found = []
        for kind in kinds:
            relevant = self.relevant & kind & self.valid
            queries = relevant.any(dim=1).nonzero().squeeze(1)
            found.append(Objective(kind & self.valid, relevant, queries))
        return [objective for objective in found if len(objective.queries)]


@dataclass(frozen=True, eq=False)
class Trial:
    """The ranker that was judged, and the users whose queries it had learned from (the judges' are not among them)."""

    ranker: Ranker
    learned_from: Int32s


def fit_ranker(
    mixture: Mixture, queries: Queries, *, exclude_seen: bool, seed: int = 0
) -> tuple[Ranker | None, Trial | None]:
    """None where it would not help, and its trial, None where there was none.

    The net and the memories of `mixture` must know nothing of what the queries ask.
    """
    if len(queries) < FEWEST_QUERIES:
        return None, None
    data = collect(mixture, queries)
    names = ranker_features(mixture.sources)
    fold = torch.from_numpy(np.random.default_rng(seed).permutation(len(data)) % FOLDS)
    tilt = torch.zeros_like(data.log_p)
    for number in range(FOLDS):
        others, judges = (fold != number).nonzero().squeeze(1), (fold == number).nonzero().squeeze(1)
        ranker = _fitted(names, data.select(others), exclude_seen=exclude_seen, seed=seed)
        tilt[judges] = tilts(ranker, data.x[judges])
    trial = Trial(ranker, queries.users[others.numpy()])
    if not is_better(tilt, data, exclude_seen=exclude_seen):
        return None, trial
    return _fitted(names, data, exclude_seen=exclude_seen, seed=seed), trial


def tilts(ranker: Ranker, x: Tensor) -> Tensor:
    """[Q, C] of features [Q, C, F]."""
    return torch.from_numpy(np.concatenate([ranker.tilt(part.numpy()) for part in torch.split(x, 1_000)]))


def collect(mixture: Mixture, queries: Queries) -> Data:
    """The candidates of each query, as the mixture without a ranker has them."""
    pieces = pieces_of(len(queries), len(mixture.popularity))
    parts = [_collected(mixture, queries.select(rows)) for rows in pieces]
    return Data(*(torch.from_numpy(np.concatenate(columns)) for columns in zip(*parts, strict=True)))


def _collected(mixture: Mixture, queries: Queries) -> tuple[Float32s, Float32s, Bools, Bools, Bools]:
    histories, now_us = queries.histories, queries.now_us
    p, evidence = mixture.mixed(histories, now_us)
    chosen, of_items = choose(p, had_mask(histories)), partial(mixture.at_candidates, evidence)
    x = inputs(p, chosen, of_items, histories, now_us, evidence.features, mixture.facts)
    row = np.broadcast_to(np.arange(len(queries))[:, None], chosen.place.shape)
    relevant = np.asarray(queries.relevance[row.ravel(), chosen.place.ravel()]).reshape(row.shape) > 0
    log_p = np.log(np.maximum(np.take_along_axis(p, chosen.place, axis=1), 1e-12))
    return x, log_p, relevant & chosen.valid, chosen.had.copy(), chosen.valid


def is_better(tilt: Tensor, data: Data, *, exclude_seen: bool) -> bool:
    """Whether tilts [Q, C] gain more NDCG@10 than three standard errors of the gain, and lose in no ranking.

    Gains are relative, and summed over the rankings: cross-entropy may trade the order of all items for that of new.
    """
    gains, variance = [], 0.0
    for objective in data.objectives(exclude_seen=exclude_seen):
        before, after = (ndcgs(log_p.exp(), objective) for log_p in (data.log_p, data.log_p + tilt))
        level = max(float(before.mean()), 1e-9)
        gains.append(float((after - before).mean()) / level)
        variance += float((after - before).var()) / len(before) / level**2
    return bool(min(gains, default=0.0) > 0 and sum(gains) > SURE * np.sqrt(variance))


def _fitted(names: tuple[str, ...], data: Data, *, exclude_seen: bool, seed: int) -> Ranker:
    flat = data.x[data.valid]
    mean, deviation = flat.mean(dim=0), flat.std(dim=0)
    scale = torch.where(deviation > 1e-4, deviation, 1.0)
    objectives = data.objectives(exclude_seen=exclude_seen)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _perceptron(data.x.shape[2])
        batches = sum(-(-len(objective.queries) // BATCH) for objective in objectives)
        epochs = max(EPOCHS, -(-FEWEST_STEPS // max(batches, 1)))
        optimiser = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
        pace = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=epochs * batches + 1)
        net.train()
        for _ in range(epochs):
            parts = [(o, part) for o in objectives for part in torch.split(_shuffled(o.queries), BATCH)]
            for number in torch.randperm(len(parts)).tolist():
                objective, rows = parts[number]
                x = ((data.x[rows] - mean) / scale).clamp(-5, 5)
                loss = _cross_entropy(data.log_p[rows] + net(x).squeeze(2), objective, rows)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch has no types there
                optimiser.step()
                pace.step()
    layers = [part for part in net if isinstance(part, nn.Linear)]
    arrays = tuple((layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers)
    return Ranker(names, mean.numpy(), scale.numpy(), arrays)


def _shuffled(rows: Tensor) -> Tensor:
    return rows[torch.randperm(len(rows))]


def _perceptron(n_features: int) -> nn.Sequential:
    """Tilts nothing at first."""
    net = nn.Sequential(
        nn.Linear(n_features, WIDTH),
        nn.SiLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(WIDTH, WIDTH),
        nn.SiLU(),
        nn.Linear(WIDTH, 1),
    )
    last = net[-1]
    assert isinstance(last, nn.Linear)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return net


def _cross_entropy(scores: Tensor, objective: Objective, rows: Tensor) -> Tensor:
    """Mean over queries of the mean over relevant items of -log softmax among the allowed candidates."""
    allowed, relevant = objective.allowed[rows], objective.relevant[rows]
    everything = scores.masked_fill(~allowed, -torch.inf).logsumexp(dim=1)
    mine = (scores * relevant).sum(dim=1) / relevant.sum(dim=1)
    return (everything - mine).mean()
