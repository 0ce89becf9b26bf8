"""Planted groups are found, named and given to users, also to those who come later."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from graph.histories import histories_of
from graph.ids import IdMap
from graph.snapshot import Snapshot
from training.segments import Segments
from training.segments_fit import find_segments, with_members

DIM = 12


def planted(n_groups: int, users: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors around `n_groups` directions plus one that all share, and each user's group."""
    random = np.random.default_rng(seed)
    group = np.arange(users) % n_groups
    centers = np.linalg.qr(random.normal(size=(DIM, DIM)))[0][: n_groups + 1]
    vectors = centers[group] + 2 * centers[-1] + 0.08 * random.normal(size=(users, DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), group


@pytest.fixture
def found(shop: Snapshot) -> tuple[Segments, np.ndarray]:
    vectors, group = planted(4, len(shop.users))
    vectors[-1] = 0
    return find_segments(vectors, histories_of(shop), shop, model="m1", seed=0), group


@pytest.mark.parametrize("n_groups", [4, 8])
def test_as_many_as_were_planted_and_the_same_users(shop: Snapshot, n_groups: int) -> None:
    vectors, group = planted(n_groups, len(shop.users))
    segments = find_segments(vectors, histories_of(shop), shop, model="m1", seed=0)
    assert len(segments.segments) == n_groups
    assert normalized_mutual_info_score(group, segments.assign(vectors).argmax(axis=1)) > 0.99


def test_labels_name_the_planted_categories(found: tuple[Segments, np.ndarray]) -> None:
    segments, group = found
    for number, segment in enumerate(segments.segments):
        members, _ = segments.members_of(number)
        planted_group = np.bincount(group[members]).argmax()
        assert segment.label.split(" · ")[0] == f"Group {planted_group}"
        assert segment.categories[0].category == f"c{planted_group + 1}"
        assert segment.categories[0].lift > 2
        assert "c0" not in [category.category for category in segment.categories]  # everybody's root says nothing


def test_every_user_with_a_history_is_a_member_once(found: tuple[Segments, np.ndarray]) -> None:
    segments, group = found
    assert sorted(segments.members.tolist()) == list(range(len(group) - 1))
    assert [s.size for s in segments.segments] == np.diff(segments.member_offsets).tolist()
    for number in range(len(segments.segments)):
        weights = segments.members_of(number)[1]
        assert (np.diff(weights) <= 0).all()


def test_weights_sum_to_one_and_a_stranger_belongs_to_none(found: tuple[Segments, np.ndarray]) -> None:
    segments, _ = found
    vectors, group = planted(4, 40, seed=0)
    weights = segments.assign(np.concatenate([vectors, np.zeros((1, DIM), np.float32)]))
    np.testing.assert_allclose(weights[:-1].sum(axis=1), 1, rtol=1e-5)
    assert weights[-1].tolist() == [0] * 4
    assert normalized_mutual_info_score(group, weights[:-1].argmax(axis=1)) > 0.99


def test_between_two_segments_lies_a_divided_user(found: tuple[Segments, np.ndarray]) -> None:
    segments, _ = found
    halfway = segments.origin + (segments.centers[0] + segments.centers[1]) / 2
    weights = segments.assign(halfway[None])[0]
    assert weights[0] == pytest.approx(weights[1], rel=1e-3)
    assert weights[:2].sum() > 0.8


def test_ids_stay_and_differ_between_models(found: tuple[Segments, np.ndarray], shop: Snapshot) -> None:
    segments, _ = found
    vectors, _ = planted(4, len(shop.users), seed=0)
    later = with_members(segments, vectors[::-1])
    assert [s.id for s in later.segments] == [s.id for s in segments.segments]
    assert [s.label for s in later.segments] == [s.label for s in segments.segments]
    other = find_segments(vectors, histories_of(shop), shop, model="m2", seed=0)
    assert not {s.id for s in other.segments} & {s.id for s in segments.segments}


def test_too_few_users_make_no_segments(shop: Snapshot) -> None:
    vectors = np.zeros((len(shop.users), DIM), np.float32)
    vectors[:6] = 1
    assert find_segments(vectors, histories_of(shop), shop, model="m1", seed=0).segments == ()


def test_without_categories_segments_are_numbered(shop: Snapshot) -> None:
    catalog = replace(
        shop.catalog,
        item_category=np.zeros((2, 0), np.int32),
        category_parent=np.zeros(0, np.int32),
        category_exists=np.zeros(0, np.bool_),
        category_names=shop.category_names[:0],
    )
    bare = replace(shop, categories=IdMap.of([]), catalog=catalog)
    vectors, _ = planted(4, len(shop.users))
    segments = find_segments(vectors, histories_of(bare), bare, model="m1", seed=0)
    assert [s.label for s in segments.segments] == ["Group 1", "Group 2", "Group 3", "Group 4"]
