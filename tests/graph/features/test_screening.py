"""What tells nothing is found out before anything learns from it."""

import numpy as np
import pytest

from graph.features.encoder import fit_encoder
from graph.features.screening import likeness, telling
from graph.snapshot import Snapshot
from tests.graph.features.conftest import Shop

GROUPS, ITEMS, USERS = 4, 200, 60
KINDS = ("number", "label", "text", "vector")


@pytest.fixture(params=range(3))
def snapshot(shop: Shop, request: pytest.FixtureRequest) -> Snapshot:
    """Users keep to one of four groups of items three times of four. Each kind of feature: one that tells the group of
    most items, and one that is noise."""
    random = np.random.default_rng(request.param)
    words = [f"word{n}" for n in range(40)]

    def described(item: int) -> dict[str, object]:
        group, chance = item % GROUPS, int(random.integers(GROUPS))
        told = group if random.random() < 0.75 else chance
        return {
            "number": told // 2 + random.normal(0, 0.3),
            "label": f"colour {told}",
            "text": " ".join(random.choice(words[told * 10 : told * 10 + 10], 5)),
            "vector": (np.eye(GROUPS)[told] + random.normal(0, 0.3, GROUPS)).tolist(),
            "number noise": random.lognormal(),
            "label noise": f"colour {random.integers(GROUPS)}",
            "text noise": " ".join(random.choice(words, 5)),
            "vector noise": random.normal(0, 1, 64).tolist(),
        }

    def history(user: int) -> list[int]:
        own = random.integers(ITEMS // GROUPS, size=20) * GROUPS + user % GROUPS
        return [int(item) for item in np.where(random.random(20) < 0.75, own, random.integers(ITEMS, size=20))]

    return shop([described(item) for item in range(ITEMS)], users=[history(user) for user in range(USERS)])


def test_noise_is_told_from_what_tells_something(snapshot: Snapshot) -> None:
    encoder = fit_encoder(snapshot, (*KINDS, *(f"{kind} noise" for kind in KINDS)))
    assert [feature.kind for feature in encoder.features] == [*KINDS, *KINDS]
    assert telling(encoder, snapshot).tolist() == [True] * 4 + [False] * 4


def test_chance_is_within_a_few_deviations_of_nothing(snapshot: Snapshot) -> None:
    encoder = fit_encoder(snapshot, [f"{kind} noise" for kind in KINDS])
    deviations = np.array([likeness(encoder, snapshot, seed) for seed in range(5)])
    assert (np.abs(deviations) < 4).all()


def test_what_hardly_any_item_has_is_not_judged(shop: Shop) -> None:
    rare = shop([{"price": n} if n < 4 else {"size": n} for n in range(100)])
    assert likeness(fit_encoder(rare, ("price",)), rare).tolist() == [np.inf]
