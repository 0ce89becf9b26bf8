"""Parts of the mixture that an ablation leaves out are out, and the net is the one that was trained before."""

from dataclasses import replace

import numpy as np
import pytest

from graph.storage.errors import BadInputError
from training.evaluation.protocols import Split
from training.leave_out import ALL_MEMORIES, LeaveOut
from training.mixture import NET, POPULARITY
from training.train import Learned, learn


def without(learned: Learned, split: Split, leave_out: LeaveOut) -> Learned:
    config = learned.fit.net.config
    found = learn(split.trained, split.validation, config, vector_space="m1", fitted=learned.fit, leave_out=leave_out)
    assert found.fit is learned.fit
    return found


def test_a_memory_left_out_is_no_source(learned: Learned, split: Split) -> None:
    name = learned.mixture.memories[0].name
    found = without(learned, split, LeaveOut(sources=frozenset({name})))
    assert found.mixture.sources == tuple(source for source in learned.mixture.sources if source != name)
    assert found.model.memories == found.mixture.memories
    scores = found.mixture.scores(split.test.histories, split.test.now_us)
    assert np.isfinite(scores).all()


def test_a_memory_that_is_not_there_cannot_be_left_out(learned: Learned, split: Split) -> None:
    with pytest.raises(BadInputError, match="no memory 'magic' to leave out"):
        without(learned, split, LeaveOut(sources=frozenset({"magic"})))


def test_the_net_alone_has_no_memories(learned: Learned, split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("training.train.choose_memories")  # what is not asked for is not counted
    found = without(learned, split, LeaveOut(sources=frozenset({ALL_MEMORIES}), ranker=True))
    assert found.mixture.sources == (NET, POPULARITY)
    assert found.mixture.ranker is None


def test_a_net_left_out_says_the_same_of_all_items(learned: Learned, split: Split) -> None:
    leave_out = LeaveOut(sources=frozenset({NET}))
    found = without(learned, split, leave_out)
    p = found.mixture.evidence(split.test.histories, split.test.now_us).net
    np.testing.assert_allclose(p, 1 / p.shape[1], rtol=1e-5)
    with_prior = replace(
        learned.mixture, net=replace(learned.mixture.net, prior=np.arange(p.shape[1], dtype=np.float32))
    )
    p = leave_out.silenced(with_prior).evidence(split.test.histories, split.test.now_us).net
    np.testing.assert_allclose(p, 1 / p.shape[1], rtol=1e-5)
    assert leave_out.silenced(learned.mixture).memories == learned.mixture.memories
    assert LeaveOut().silenced(learned.mixture) is learned.mixture


def test_a_constant_gate_weighs_alike_for_all_users(learned: Learned, split: Split) -> None:
    found = without(learned, split, LeaveOut(gate_features=True))
    weights = found.mixture.evidence(split.test.histories, split.test.now_us).weights
    everything_speaks = (weights > 0).all(axis=1)
    assert everything_speaks.sum() > 10
    assert np.ptp(weights[everything_speaks], axis=0).max() < 1e-6
    assert not found.mixture.gate.weight.any()


def test_without_a_ranker_the_order_is_the_mixtures_own(learned: Learned, split: Split) -> None:
    found = without(learned, split, LeaveOut(ranker=True))
    ours = found.mixture.scores(split.test.histories, split.test.now_us)
    own = replace(learned.mixture, ranker=None).scores(split.test.histories, split.test.now_us)
    np.testing.assert_array_equal(ours, own)
