"""A planted turn is found, and a turned model says of users and items what it said before."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graph.histories import histories_of
from graph.ids import IdMap
from training.alignment import align, procrustes, turned
from training.artifact import Artifact, load_artifact
from training.artifact_publish import publish_model, publish_revision
from training.evaluation.protocols import Split
from training.mixture_build import Model, mixture_of, revision_of
from training.refresh import model_of
from training.train import Learned


def rotation(dim: int, seed: int = 0) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(dim, dim)))
    return q.astype(np.float32)


def unit(vectors: np.ndarray) -> np.ndarray:
    found: np.ndarray = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


@pytest.fixture(scope="module")
def published(learned: Learned, split: Split, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return publish(learned.model, split, tmp_path_factory.mktemp("models"), 1)


def publish(model: Model, split: Split, root: Path, number: int) -> Artifact:
    config = model.net.config.model_dump(mode="json")
    revision = revision_of(model, mixture_of(model, split.trained), split.trained, config={"net": config}, metrics={})
    publish_model(root, number, model.net.state_dict(), config)
    return load_artifact(publish_revision(root, number, 1, revision))


def test_a_planted_turn_is_found() -> None:
    random = np.random.default_rng(1)
    old, planted = unit(random.normal(size=(200, 16))), rotation(16)
    found = procrustes(old @ planted.T, old, np.ones(200))
    np.testing.assert_allclose(found, planted, atol=1e-5)


def test_items_with_many_events_decide() -> None:
    random = np.random.default_rng(1)
    old, planted = unit(random.normal(size=(200, 16))), rotation(16)
    new = old @ planted.T
    new[100:] = unit(random.normal(size=(100, 16)))  # these went elsewhere, but nobody buys them
    weight = np.where(np.arange(200) < 100, 1_000.0, 1.0)
    assert np.abs(procrustes(new, old, weight) - planted).max() < 0.02
    assert np.abs(procrustes(new, old, np.ones(200)) - planted).max() > 0.05


def test_a_model_that_was_only_turned_is_turned_back(learned: Learned, split: Split, published: Artifact) -> None:
    planted = rotation(16)
    net = turned(learned.model.net, planted)
    mixture = mixture_of(replace(learned.model, net=net), split.trained)
    found = align(mixture, published.mixture, split.trained.items, published)
    assert found is not None
    assert found.rotation is not None
    assert found.residual < 1e-3
    assert found.keeps_space
    np.testing.assert_allclose(found.rotation, planted.T, atol=1e-3)
    np.testing.assert_allclose(mixture.net.vectors @ found.rotation, published.item_vectors, atol=1e-3)


def test_a_model_that_lies_where_the_old_one_lies_stays_as_it_is(
    learned: Learned, split: Split, published: Artifact
) -> None:
    found = align(learned.mixture, published.mixture, split.trained.items, published)
    assert found is not None
    assert found.rotation is None
    assert turned(learned.model.net, found.rotation) is learned.model.net


def test_vectors_that_have_nothing_in_common_are_a_space_of_their_own(
    learned: Learned, split: Split, published: Artifact
) -> None:
    strange = unit(np.random.default_rng(3).normal(size=learned.mixture.net.vectors.shape))
    mixture = replace(learned.mixture, net=replace(learned.mixture.net, vectors=strange))
    found = align(mixture, published.mixture, split.trained.items, published)
    assert found is not None
    assert not found.keeps_space
    assert found.residual > 1  # also of 80 items in 16 dimensions, which any turn can be fitted to


def test_items_are_told_by_what_the_shop_calls_them(learned: Learned, split: Split, published: Artifact) -> None:
    others = IdMap.of([f"other-{n}" for n in range(len(split.trained.items))])
    assert align(learned.mixture, published.mixture, others, published) is None


def test_no_cosine_changes_and_no_answer(learned: Learned, split: Split, tmp_path: Path, published: Artifact) -> None:
    """Items, users, categories, segments and everything that is computed of vectors turn together."""
    planted = rotation(16, seed=4)
    model = replace(learned.model, net=turned(learned.model.net, planted))
    other = publish(model, split, tmp_path, 2)
    for name in ("item_vectors", "category_vectors", "user_vectors"):
        np.testing.assert_allclose(getattr(other, name), getattr(published, name) @ planted, atol=1e-5)
    np.testing.assert_allclose(other.user_weights, published.user_weights, atol=1e-6)
    histories = histories_of(split.trained)
    now = np.full(len(histories), split.trained.as_of)
    np.testing.assert_allclose(
        other.mixture.scores(histories, now), published.mixture.scores(histories, now), atol=2e-3
    )
    assert [each.size for each in other.segments.segments] == [each.size for each in published.segments.segments]
    np.testing.assert_allclose(other.segments.centers, published.segments.centers @ planted, atol=1e-3)


def test_a_turned_net_is_turned_again_when_it_is_read(learned: Learned, split: Split, tmp_path: Path) -> None:
    planted = rotation(16, seed=4)
    artifact = publish(replace(learned.model, net=turned(learned.model.net, planted)), split, tmp_path, 1)
    again = mixture_of(model_of(artifact), split.trained)
    np.testing.assert_allclose(again.net.vectors, artifact.item_vectors, atol=1e-6)
    histories = histories_of(split.trained).select(np.arange(5))
    np.testing.assert_allclose(again.net.users(histories), artifact.mixture.net.users(histories), atol=1e-6)


def test_the_net_that_was_given_is_not_changed(learned: Learned) -> None:
    turned(learned.model.net, rotation(16))
    assert learned.model.net.rotation is None
    assert "rotation" not in learned.model.net.state_dict()
