"""Dislikes push down as documented: planted ones are recovered; weights, points and half-lives are kept in order."""

from dataclasses import replace

import numpy as np
import pytest

from graph.arrays import Float32s, Int64s
from graph.histories import Histories, histories_from_arrays
from graph.meaning import Meaning
from graph.storage.kinds import EventKind
from graph.storage.times import DAY_US
from training.aversion import OWN, averted, standing
from training.aversion_fit import ENOUGH, NEARS, fit_near
from training.evaluation.protocols import Split
from training.evaluation.queries import Queries, queries_of
from training.likeness import Likeness
from training.mixture import Mixture
from training.train import Learned

from .conftest import GROUPS, ITEMS

KINDS = (
    EventKind(1, "purchase", 1.0, 1, None),
    EventKind(2, "hide", 0.2, -1, None),
    EventKind(3, "dislike", 1.0, -1, 10.0),
    EventKind(4, "rating", 1.0, 1, None, middle=3.0),
    EventKind(5, "view", 0.2, 1, None),
)
PURCHASE, HIDE, DISLIKE, RATING, VIEW = range(5)
NOW = 110 * DAY_US
Said = tuple[int, int, float, float]  # item, kind, value, day


def user(own: Histories, *said: Said) -> Histories:
    """A history of one row, and what else that user said."""
    meaning = Meaning.of(KINDS)
    own = replace(own, meaning=meaning)
    item, kind, value, day = np.array(said).reshape(-1, 4).T
    kinds, values = kind.astype(np.int16), value.astype(np.float32)
    is_against = meaning.side(kinds, values) < 0

    def of(chosen: np.ndarray, before: Histories | None) -> Histories:
        items, times, which = item[chosen].astype(np.int32), (day[chosen] * DAY_US).astype(np.int64), kinds[chosen]
        stars = values[chosen]
        if before is not None:
            items, times = np.concatenate([before.item, items]), np.concatenate([before.occurred_at, times])
            which, stars = np.concatenate([before.kind, which]), np.concatenate([before.value, stars])
        rows = np.zeros(len(items), int)
        made = histories_from_arrays(rows, items, times, None, which, stars, n_users=1, n_items=own.n_items)
        return replace(made, meaning=meaning)

    return replace(of(~is_against, own), against=of(is_against, None))


@pytest.fixture(scope="module")
def mixture(learned: Learned) -> Mixture:
    return learned.mixture


@pytest.fixture(scope="module")
def own(split: Split) -> Histories:
    return split.validation.histories.select([0])


def p_of(mixture: Mixture, history: Histories, now_us: int = NOW) -> Float32s:
    p: Float32s = np.exp(mixture.scores(history, np.array([now_us]))[0].astype(np.float64))
    np.testing.assert_allclose(p.sum(), 1, rtol=1e-4)
    return p


def test_a_dislike_pushes_down_its_item_and_what_is_like_it_less(mixture: Mixture, own: Histories) -> None:
    before = p_of(mixture, user(own))
    group = own.item[-1] % GROUPS
    liked = np.flatnonzero(np.arange(ITEMS) % GROUPS == group)
    disliked = int(liked[before[liked].argmax()])
    change = np.log(p_of(mixture, user(own, (disliked, DISLIKE, np.nan, 110))) / before)
    likeness = mixture.net.likeness.between(None, np.array([disliked]))[:, 0]
    close = (likeness > 0.6) & (np.arange(ITEMS) != disliked)
    assert close.sum() >= 5
    far = likeness <= 0
    assert (change[close] < change[far].mean() - 0.3).all()
    assert (change[close] > change[disliked] + 1).all()
    assert change[disliked] - change[far].mean() == pytest.approx(-OWN, abs=1e-2)
    assert change[far].max() - change[far].min() < 1e-3  # they only gain what the others lose
    assert change[far].mean() > 0


def test_planted_dislikes_are_recovered(mixture: Mixture, split: Split) -> None:
    """Each user says of four items of one group that they dislike them: that whole group comes last for them."""
    random, recovered, asked = np.random.default_rng(0), 0, 40
    for row in range(asked):
        own = split.validation.histories.select([row])
        liked = np.bincount(own.item % GROUPS, minlength=GROUPS).argmax()
        group = int(random.choice([g for g in range(GROUPS) if g != liked]))
        said = random.choice(ITEMS // GROUPS, 4, replace=False) * GROUPS + group
        before = p_of(mixture, user(own))
        after = p_of(mixture, user(own, *((int(item), DISLIKE, np.nan, 110.0) for item in said)))
        others = np.setdiff1d(np.arange(ITEMS), said)
        lift = np.log(after / before)[others]
        planted = np.array([lift[others % GROUPS == g].mean() for g in range(GROUPS)])
        recovered += planted.argmin() == group
    assert recovered / asked > 0.9


@pytest.mark.parametrize(
    "said",
    [
        # each says less than the one before
        [(RATING, 1.0, 110.0), (RATING, 2.0, 110.0), (RATING, 2.5, 110.0), (RATING, 3.0, 110.0)],
        [(DISLIKE, np.nan, 110.0), (HIDE, np.nan, 110.0)],
        [(DISLIKE, np.nan, 110.0), (DISLIKE, np.nan, 100.0), (DISLIKE, np.nan, 60.0)],  # half after ten days
    ],
)
def test_weights_points_and_ages_are_kept_in_order(
    mixture: Mixture, own: Histories, said: list[tuple[int, float, float]]
) -> None:
    p = [p_of(mixture, user(own, (7, *one)))[7] for one in said]
    assert p == sorted(p)
    assert np.diff(np.log(p)).min() > 0.1
    strength = [standing(user(own, (7, *one)), np.array([NOW]))[2].sum() for one in said]
    assert strength == sorted(strength, reverse=True)


def test_the_newer_counts(mixture: Mixture, own: Histories) -> None:
    disliked, bought, looked = ((7, kind, np.nan, 0.0) for kind in (DISLIKE, PURCHASE, VIEW))

    def strength(*said: Said) -> float:
        return float(standing(user(own, *said), np.array([NOW]))[2].sum())

    dislike = (*disliked[:3], 109.0)
    alone = strength(dislike)
    assert alone > 0.9
    assert strength(dislike, (*bought[:3], 109.5)) == 0
    assert strength(dislike, (*looked[:3], 109.5)) == pytest.approx(0.8 * alone)
    assert strength((*bought[:3], 108.0), dislike) == alone
    assert strength(dislike, (*bought[:3], 109.5), (*disliked[:3], 109.8)) > 0.9
    assert strength(dislike, (8, PURCHASE, np.nan, 109.5)) == alone


def best_ten(mixture: Mixture, history: Histories) -> Int64s:
    return np.argsort(-mixture.scores(history, np.array([NOW]))[0], kind="stable")[:10]


def test_scores_and_explain_know_of_dislikes(mixture: Mixture, own: Histories) -> None:
    best = best_ten(mixture, user(own))
    unhappy = user(own, *((int(item), RATING, 1.0, 110.0) for item in best[:3]))
    assert not set(best[:3].tolist()) & set(best_ten(mixture, unhappy).tolist())
    scores = mixture.scores(unhappy, np.array([NOW]))[0]
    shares = mixture.explain(unhappy, NOW, np.arange(ITEMS))
    np.testing.assert_allclose(shares.sum(axis=1), np.exp(scores), rtol=1e-3)
    assert (shares >= 0).all()


def test_who_only_dislikes_gets_what_is_popular_without_it(mixture: Mixture, own: Histories) -> None:
    nobody = histories_from_arrays([], [], [], n_users=1, n_items=own.n_items)
    p = p_of(mixture, user(nobody, (int(mixture.popularity.argmax()), DISLIKE, np.nan, 110.0)))
    assert p[mixture.popularity.argmax()] < 0.01 * mixture.popularity.max()
    np.testing.assert_allclose(p_of(mixture, user(nobody)), mixture.popularity, rtol=1e-4)


@pytest.mark.parametrize(("avoids", "expected"), [(True, max(NEARS)), (False, min(NEARS))])
def test_how_far_dislikes_reach_is_learned(mixture: Mixture, split: Split, avoids: bool, expected: float) -> None:
    """Planted: after a dislike users either leave the whole group, or go on in it with other items."""
    queries, random = split.validation, np.random.default_rng(1)
    rows = random.integers(len(queries), size=ENOUGH)
    liked = queries.histories.select(rows)
    group = np.array([np.bincount(part % GROUPS).argmax() for part in np.split(liked.item, liked.offsets[1:-1])])
    disliked = random.integers(ITEMS // GROUPS, size=ENOUGH) * GROUPS + group
    against = histories_from_arrays(
        np.arange(ENOUGH), disliked, np.full(ENOUGH, NOW), kind=np.full(ENOUGH, DISLIKE), n_items=ITEMS
    )
    meaning = Meaning.of(KINDS)
    histories = replace(liked, meaning=meaning, against=replace(against, meaning=meaning))
    after = (group + 1) % GROUPS if avoids else group
    chosen = random.integers(ITEMS // GROUPS, size=ENOUGH) * GROUPS + after
    chosen = np.where(chosen == disliked, (chosen + GROUPS) % ITEMS, chosen).astype(np.int32)
    users, now = np.arange(ENOUGH, dtype=np.int32), np.full(ENOUGH, NOW)
    asked: Queries = queries_of(users, histories, now, np.arange(ENOUGH), chosen, queries.catalog)
    assert fit_near(mixture, asked) == expected
    assert fit_near(mixture, asked.select(np.arange(10))) == mixture.near  # too few to learn from


def test_likeness_is_the_cosine_seen_from_the_mean_item(mixture: Mixture) -> None:
    vectors, some = mixture.net.vectors, np.array([3, 9])
    away = vectors - vectors.mean(axis=0)
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    np.testing.assert_allclose(mixture.net.likeness.between(None, some), away @ away[some].T, atol=1e-4)
    np.testing.assert_allclose(mixture.net.likeness.between(some, some), away[some] @ away[some].T, atol=1e-4)


def test_many_dislikes_leave_a_distribution(own: Histories) -> None:
    """Whoever dislikes everything still gets numbers that sum to 1."""
    alike = Likeness.of(np.eye(4, dtype=np.float32))
    nobody = histories_from_arrays([], [], [], n_users=1, n_items=4)
    unhappy = user(nobody, *((item, DISLIKE, np.nan, 110.0) for item in [0, 1, 2, 3] * 20))
    p = averted(np.full((1, 4), 0.25, np.float32), unhappy, np.array([NOW]), alike, 1.0)
    np.testing.assert_allclose(p, 0.25, rtol=1e-3)


def test_the_strongest_dislikes_reach_others_and_all_push_their_own_item(
    mixture: Mixture, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, likeness = split.validation.histories.select([0]), mixture.net.likeness
    said = [(item, DISLIKE, 0.0, 100.0 + item) for item in range(4)]
    asked, now = user(own, *said), np.array([NOW])
    p = np.full((1, ITEMS), 1 / ITEMS, np.float32)
    newest = user(own, *said[2:])  # half-lives of ten days: the newest are the strongest
    monkeypatch.setattr("training.aversion.REACHING", 2)
    few = averted(p.copy(), asked, now, likeness, 2.0)[0]
    reached = averted(p.copy(), newest, now, likeness, 2.0)[0]
    rest = np.setdiff1d(np.arange(ITEMS), np.arange(4))
    np.testing.assert_allclose(few[rest] / few[rest].sum(), reached[rest] / reached[rest].sum(), rtol=1e-5)
    assert (few[:4] < few[rest].min()).all()
