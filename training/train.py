"""Training, in order: the net on the graph of the training part, the memories, gate and ranker on validation queries.

`learn` needs no store: two snapshots' worth of arrays in, a `Model` out. The command around it is in `cli.py`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from graph.features.encoder import fit_encoder
from graph.features.screening import screened
from graph.histories import Histories, histories_of
from graph.memories.pace import pace_of
from graph.snapshot import Snapshot
from graph.stand_ins import novelty
from graph.storage.errors import BadInputError
from training.aversion_fit import fit_near
from training.calibration import Calibration
from training.calibration_fit import fit_calibration
from training.config import NetConfig, Sizes, default_config
from training.evaluation.outcomes import Outcomes
from training.evaluation.queries import Queries
from training.fit import FitResult, Progress, fit
from training.gate_fit import fit_gate, neutral_gate
from training.leave_out import NOTHING, LeaveOut
from training.memories_fit import choose_memories, choose_popularity, popular, sample
from training.mixture import Mixture, sources_of
from training.mixture_build import Model, Stage, graph_of, item_facts, kinds_of
from training.mixture_net import NetSource, item_vectors_of
from training.new_items import lend_memory, lend_vectors, stand_ins_of
from training.prior import log_prior
from training.ranker_fit import Trial, fit_ranker
from training.recency_fit import fit_recency
from training.validation import Validation

GATE_QUERIES = 4_000
NET_QUERIES = 4_000
RANKER_QUERIES = 12_000
RARE_REPEATS = 0.01
"""Where fewer of what users do next are items they had before, nobody comes back: seen items are then no candidates."""


@dataclass(frozen=True)
class Learned:
    """`mixture` is the model as of the training part, on which the gate was fitted and the promotion is decided.

    The net's own config has the features that tell something alone.
    """

    model: Model
    mixture: Mixture
    fit: FitResult
    exclude_seen: bool


def config_for(trained: Snapshot, changes: dict[str, Any]) -> NetConfig:
    """The defaults for data of this size, with `changes` that the caller insists on. Raises BadInputError."""
    histories = histories_of(trained)
    steps = int(_steps(histories).sum())
    sizes = Sizes(users=len(histories), items=len(trained.items), events=len(histories.item), steps=steps)
    try:
        return NetConfig(**(default_config(sizes).model_dump(exclude_unset=True) | changes))
    except ValidationError as error:
        first = error.errors()[0]
        said = first["msg"].removeprefix("Value error, ")
        name = first["loc"][0] if first["loc"] else None  # None: values that do not go together
        raise BadInputError(
            f"The net cannot be made so: {said}." if name is None else f"{name} {changes.get(str(name))!r}: {said}.",
            hint="`penchant train --help` tells what there is.",
        ) from error


def learn(
    trained: Snapshot,
    validation: Queries,
    config: NetConfig,
    *,
    following: Snapshot | None = None,
    vector_space: str = "",
    outcomes: Outcomes | None = None,
    window_days: float = 28.0,
    device: str = "auto",
    checkpoint_dir: Path | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    stage: Stage = lambda _: None,
    fitted: FitResult | None = None,
    leave_out: LeaveOut = NOTHING,
    budget_s: float = math.inf,
) -> Learned:
    """Everything is learned from `trained` and from the answers of `validation`. Raises TrainingError.

    `following`: `trained` and the events of validation after it, step by step; None: the newest ones do not count more.
    `vector_space`: its name, which is known only when the model is published.
    `outcomes`: what all users did after `trained`, for probabilities; without it none are calibrated.
    `window_days`: how far ahead it asks what users come back to, the validation window's length.
    `fitted`: a net that was trained on the same with the same config, so that only what uses it is learned.
    `budget_s`: seconds after which the net's epoch is its last.
    """
    histories = histories_of(trained)
    exclude_seen = share_of_repeats(validation) < RARE_REPEATS
    stage("graph")
    encoder = screened(fit_encoder(trained, config.features, config.feature_scaling), trained)
    config = config.model_copy(update={"features": encoder.names if encoder else ()})
    graph = graph_of(trained, encoder)
    stage("net")
    result = fitted or fit(
        graph,
        histories,
        net_validation(sample(validation, NET_QUERIES), exclude_seen=exclude_seen),
        config,
        n_kinds=len(trained.kinds),
        encoder=encoder,
        checkpoint_dir=checkpoint_dir,
        resume=resume,
        on_progress=on_progress,
        device=device,
        budget_s=budget_s,
    )
    stage("memories")
    net = result.net.cpu()
    pace = pace_of(histories)
    lent = stand_ins_of(trained, pace, encoder)
    chosen = leave_out.memories_of(
        lambda: choose_memories(trained, validation, window_days=window_days, exclude_seen=exclude_seen)
    )
    memories = tuple(lend_memory(memory, lent) for memory in chosen)
    half_life = choose_popularity(histories, validation, trained.as_of)
    stage("gate")
    vectors = lend_vectors(item_vectors_of(net, graph), lent)
    mixture = Mixture(
        net=NetSource(net, vectors, log_prior(pace.ever, config.popularity_prior, novelty(pace, trained.item_exists))),
        memories=memories,
        popularity=popular(histories, trained.as_of, half_life),
        gate=neutral_gate(sources_of(memories), 2 + 2 * len(memories)),
        facts=item_facts(trained, pace, vectors),
    )
    mixture = leave_out.silenced(mixture)
    some = sample(validation, GATE_QUERIES)
    mixture = mixture.with_gate(
        fit_gate(mixture, some, exclude_seen=exclude_seen, by_features=not leave_out.gate_features)
    )
    trial: Trial | None = None
    if not leave_out.ranker:
        stage("ranker")
        some = sample(validation, RANKER_QUERIES)
        ranker, trial = fit_ranker(mixture, some, exclude_seen=exclude_seen, seed=config.seed)
        mixture = mixture.with_ranker(ranker)
    mixture = mixture.with_near(fit_near(mixture, validation))
    if following is not None:
        stage("recency")
        mixture = mixture.with_recency(fit_recency(mixture, trained, following, exclude_seen=exclude_seen))
    stage("calibration")
    model = Model(
        net,
        mixture.gate,
        memories,
        half_life,
        kinds_of(trained),
        vector_space,
        ranker=mixture.ranker,
        near=mixture.near,
        calibration=Calibration() if outcomes is None else _calibrated(mixture, trial, validation, outcomes),
        recency=mixture.recency,
    )
    return Learned(model, mixture, result, exclude_seen)


def _calibrated(mixture: Mixture, trial: Trial | None, validation: Queries, outcomes: Outcomes) -> Calibration:
    """A ranker has seen what validation users did, and would look better on them than it is. So the one of the trial
    stands for it, and users that it has learned from are left out; of those who did nothing as large a share is, for
    whether users come at all is part of what is learned."""
    if trial is None or mixture.ranker is None:
        return fit_calibration(mixture, outcomes)
    known = np.isin(outcomes.users, trial.learned_from)
    share = 1 - len(trial.learned_from) / len(validation)
    asked = np.isin(outcomes.users, validation.users)
    kept = np.where(asked, ~known, np.random.default_rng(0).random(len(outcomes)) < share)
    return fit_calibration(mixture.with_ranker(trial.ranker), outcomes.select(np.flatnonzero(kept)))


def share_of_repeats(queries: Queries) -> float:
    """How many of the relevant items the users had before."""
    row = np.repeat(np.arange(len(queries)), np.diff(queries.relevance.indptr))
    return float(queries.had(row, queries.relevance.indices).mean())


def net_validation(queries: Queries, *, exclude_seen: bool) -> Validation:
    """The queries as the net's own validation takes them; users whose answers are all seen are left out."""
    asked = queries.under("exclude" if exclude_seen else "include")
    relevance = asked.relevance
    return Validation(asked.histories, relevance.indptr.astype(np.int64), relevance.indices, exclude_seen)


def _steps(histories: Histories) -> Any:
    """Steps of each user, [U]."""
    last = np.maximum(histories.offsets[1:] - 1, 0)
    return np.where(histories.lengths > 0, histories.step[last] + 1, 0) if len(histories.step) else histories.lengths
