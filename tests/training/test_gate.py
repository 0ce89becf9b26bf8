"""The gate: weights that sum to 1, nothing for the silent, and a fit that finds out whom to trust."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import sparse

from graph.histories import Histories
from training.evaluation.metrics import per_user, top_ranks
from training.evaluation.protocols import Split
from training.gate import Gate
from training.gate_fit import Objective, fit_gate, ndcg, neutral_gate
from training.memories import Repeats
from training.mixture import Mixture
from training.train import Learned


def test_weights_sum_to_one_and_silent_sources_get_none() -> None:
    gate = Gate(("net", "repeats", "popularity"), np.ones((2, 3)), np.array([0.0, 5.0, 0.0]), np.zeros(2), np.ones(2))
    weights = gate(np.zeros((2, 2)), np.array([[True, True, True], [False, False, True]]))
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    assert weights[0, 1] > 0.9
    assert weights[1].tolist() == [0, 0, 1]


@dataclass(frozen=True)
class Oracle:
    """A memory that recalls a given matrix, whoever asks."""

    type: ClassVar[str] = "oracle"
    name: str
    answers: sparse.csr_array

    def recall(self, histories: Histories, now_us: Any) -> sparse.csr_array:
        return sparse.csr_array(self.answers[: len(histories)])

    def settings(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, Any]:
        return {}


def a_mixture(learned: Learned, *memories: Any) -> Mixture:
    sources = ("net", *(memory.name for memory in memories), "popularity")
    return replace(learned.mixture, memories=memories, gate=neutral_gate(sources, 2 + 2 * len(memories)))


def test_a_memory_that_knows_the_answers_is_trusted_and_noise_is_not(learned: Learned, split: Split) -> None:
    asked = split.validation
    truth = sparse.csr_array(asked.relevance / asked.relevance.sum(axis=1)[:, None])
    noise = sparse.random_array(truth.shape, density=0.2, random_state=np.random.default_rng(0), format="csr")
    noise = sparse.csr_array(noise / np.maximum(noise.sum(axis=1), 1e-9)[:, None])
    mixture = a_mixture(learned, Oracle("truth", truth), Oracle("noise", noise.astype(np.float32)))
    gate = fit_gate(mixture, asked, exclude_seen=False)
    weights = mixture.with_gate(gate).evidence(asked.histories, asked.now_us).weights.mean(axis=0)
    trust = dict(zip(gate.sources, weights, strict=True))
    assert trust["truth"] > 0.9
    assert trust["noise"] < 0.05


def test_the_same_data_gives_the_same_gate(learned: Learned, split: Split) -> None:
    mixture = a_mixture(learned, Repeats("repeats", 30.0))
    first, second = (fit_gate(mixture, split.validation, exclude_seen=False) for _ in range(2))
    np.testing.assert_array_equal(first.weight, second.weight)
    np.testing.assert_array_equal(first.bias, second.bias)


def test_where_nobody_repeats_the_fit_looks_at_news_alone(learned: Learned, split: Split) -> None:
    """Own items are no candidates then, so a memory of repeats earns nothing."""
    mixture = a_mixture(learned, Repeats("repeats", 30.0))
    asked = split.validation

    def trust(*, exclude_seen: bool) -> float:
        gate = fit_gate(mixture, asked, exclude_seen=exclude_seen)
        return float(mixture.with_gate(gate).evidence(asked.histories, asked.now_us).weights[:, 1].mean())

    assert trust(exclude_seen=False) > trust(exclude_seen=True)


def test_features_speak_where_they_tell_whom_to_trust(
    learned: Learned, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: of two memories each knows the answers of every second pair of users, and is wrong for the others."""
    asked = split.validation
    truth = (asked.relevance / asked.relevance.sum(axis=1)[:, None]).toarray().astype(np.float32)
    wrong = np.roll(truth, 1, axis=1)
    is_first = (np.arange(len(truth)) // 2 % 2 == 0)[:, None]
    one, other = (
        Oracle(name, sparse.csr_array(np.where(known, truth, wrong)))
        for name, known in (("one", is_first), ("other", ~is_first))
    )
    mixture = a_mixture(learned, one, other)

    monkeypatch.setattr("training.gate_fit.features_of", lambda *_: np.repeat(is_first, 6, axis=1).astype(float))
    telling = fit_gate(mixture, asked, exclude_seen=False)
    trust = telling(np.repeat(is_first, 6, axis=1).astype(float), np.ones((len(truth), 4), np.bool_))
    assert (trust[is_first[:, 0], 1] > trust[is_first[:, 0], 2]).all()
    assert (trust[~is_first[:, 0], 1] < trust[~is_first[:, 0], 2]).all()


def test_features_that_are_chance_do_not_speak(learned: Learned, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would: of a hundred queries a dozen features of chance always tell something."""
    for seed in range(3):
        chance = np.random.default_rng(seed).normal(size=(len(split.validation), len(learned.mixture.gate.mean)))
        monkeypatch.setattr("training.gate_fit.features_of", lambda *_, chance=chance: chance)
        assert not fit_gate(learned.mixture, split.validation, exclude_seen=False).weight.any()


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_a_fitted_gate_is_finite(learned: Learned, name: str) -> None:
    assert np.isfinite(getattr(learned.mixture.gate, name)).all()


def test_ties_count_against_the_target_as_in_the_evaluation() -> None:
    """Found on real data: with ties broken at will, levelling all candidates looked like the best gate of all."""
    random = np.random.default_rng(0)
    relevant = random.random((50, 40)) < 0.1
    relevant[:, 7] = True
    every = torch.ones(50, 40, dtype=torch.bool)
    objective = Objective(every, torch.from_numpy(relevant), torch.arange(50))
    assert ndcg(torch.full((50, 40), 0.1), objective) == 0

    p = (random.integers(0, 15, (50, 40)) / 15).astype(np.float32)  # with ties
    ranks = top_ranks(p.copy(), np.zeros((1, 40), np.bool_), sparse.csr_array(relevant.astype(np.float32)))
    expected = per_user(ranks, relevant.sum(axis=1))["ndcg@10"].mean()
    assert ndcg(torch.from_numpy(p), objective) == pytest.approx(expected, rel=1e-5)
