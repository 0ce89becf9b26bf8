"""An item without events borrows from its stand-ins; known items notice nothing."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from graph.events import EventLog
from graph.histories import Histories, histories_of
from graph.snapshot import Snapshot
from graph.stand_ins import StandIns
from graph.storage.times import DAY_US, NEVER_US
from training.evaluation.protocols import time_split
from training.memories import ItemToItem, Repeats
from training.mixture import Mixture
from training.mixture_build import mixture_of
from training.new_items import lend_memory, lend_vectors
from training.train import Learned, config_for, learn

NEW = 4
"""Item 4 of 5 is new; 0 and 1 stand in for it."""


@pytest.fixture
def lent() -> StandIns:
    return StandIns(csr_array(([0.75, 0.25], ([NEW, NEW], [0, 1])), shape=(5, 5), dtype=np.float32), novelty=0.5)


def test_its_vector_is_its_own_and_its_stand_ins(lent: StandIns) -> None:
    vectors = np.eye(5, dtype=np.float32)
    shared = lend_vectors(vectors, lent)
    assert (shared[:NEW] == vectors[:NEW]).all()
    assert np.linalg.norm(shared[NEW]) == pytest.approx(1)
    assert shared[NEW, NEW] ** 2 == pytest.approx(0.5)
    assert shared[NEW, 0] == pytest.approx(3 * shared[NEW, 1])
    assert lend_vectors(vectors, None) is vectors


def test_what_leads_to_them_leads_to_it_and_what_follows_them_follows_it(lent: StandIns) -> None:
    rules = np.zeros((5, 5), np.float32)
    rules[2, 0], rules[2, 3], rules[0, 3], rules[1, 2] = 4, 1, 2, 8
    trend = np.array([1, 3, 1, 1, 0], np.float32)
    memory = lend_memory(ItemToItem("follows", 0.5, "follows", csr_array(rules), trend), lent)
    assert isinstance(memory, ItemToItem)
    found = memory.neighbours.toarray()
    assert (found[:NEW, :NEW] == rules[:NEW, :NEW]).all()
    assert found[2, NEW] == 4 * 0.75 * 0.5
    assert found[NEW, 3] == 2 * 0.75
    assert found[NEW, 2] == 8 * 0.25
    assert memory.trend.tolist() == [1, 3, 1, 1, 1.5]


def test_memories_of_the_users_own_items_and_a_whole_catalog_stay(lent: StandIns) -> None:
    repeats = Repeats("repeats", 30.0)
    assert lend_memory(repeats, lent) is repeats
    rules = ItemToItem("follows", 0.5, "follows", csr_array(np.eye(5, dtype=np.float32)), np.ones(5, np.float32))
    assert lend_memory(rules, None) is rules


@pytest.fixture(scope="module")
def learned_without(shop: Snapshot) -> tuple[Learned, Snapshot]:
    """A model that never saw an event of items 0 to 7, two of each group."""
    events = shop.events.take(shop.events.item >= 8)
    known = replace(shop, log=EventLog(events, np.full(len(events), NEVER_US)))
    split = time_split(known, test_start=100 * DAY_US)
    config = config_for(split.trained, {"dim": 16, "epochs": 8, "max_history": 20})
    return learn(split.trained, split.validation, config, vector_space="m1", device="cpu"), known


def test_new_items_go_to_those_who_like_their_category(learned_without: tuple[Learned, Snapshot]) -> None:
    learned, known = learned_without
    mixture, histories = mixture_of(learned.model, known), histories_of(known)
    users = np.flatnonzero(histories.lengths > 0)
    scores = scored(mixture, histories.select(users), known)
    of_group = scores[:, :8].reshape(len(users), 2, 4).mean(axis=1)
    assert (of_group.argmax(axis=1) == users % 4).mean() > 0.8


def test_new_items_are_as_likely_as_new_items_were(learned_without: tuple[Learned, Snapshot]) -> None:
    """In this shop nothing new was taken for months: nothing new crowds out what is known."""
    learned, known = learned_without
    p = np.exp(scored(mixture_of(learned.model, known), histories_of(known), known))
    assert p.sum(axis=1) == pytest.approx(1, abs=1e-3)
    assert p[:, :8].sum(axis=1).max() < 0.01
    assert (p > 0).all()


def scored(mixture: Mixture, histories: Histories, known: Snapshot) -> np.ndarray:
    return mixture.scores(histories, np.full(len(histories), known.as_of))
