"""FindSimilar against the artifact's own vectors."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from penchant import vectors
from penchant.errors import FailedPreconditionError, InvalidArgumentError, NotFoundError
from penchant.v1 import common_pb2 as common
from penchant.v1.similarity_pb2 import FindSimilarResponse

from graph.storage.database import Database
from graph.storage.items import upsert_items
from training.artifact import Artifact
from training.refresh import refresh

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Running, Served, World


@pytest.fixture(scope="module")
def artifact(served: "Served") -> Artifact:
    return served.world.artifact("m1.1")


def ids(answer: FindSimilarResponse) -> list[str]:
    return [each.id for each in answer.neighbours]


def cosines(answer: FindSimilarResponse) -> list[float]:
    return [each.cosine for each in answer.neighbours]


def nearest(matrix: NDArray[np.float32], vector: NDArray[np.float32], without: set[int]) -> NDArray[np.int64]:
    order = np.argsort(-(matrix @ vector))
    has_vector = np.asarray(matrix.any(axis=1))
    return np.asarray(order[~np.isin(order, list(without)) & has_vector[order]])


def test_items_like_an_item(served: "Served", artifact: Artifact) -> None:
    answer = served.client.find_similar("items", item="i12", k=1_000)
    index = int(artifact.items.index_of(["i12"])[0])
    without = {index, int(artifact.items.index_of(["i9"])[0])}
    expected = nearest(artifact.item_vectors, artifact.item_vectors[index], without)
    assert ids(answer) == artifact.items.externals_of(expected)
    np.testing.assert_allclose(
        cosines(answer), artifact.item_vectors[expected] @ artifact.item_vectors[index], atol=1e-6
    )
    assert ids(served.client.find_similar("items", item="i12", k=7)) == ids(answer)[:7]
    assert (answer.vector_space, answer.model_version) == ("m1", "m1.1")
    assert not answer.HasField("history_as_of")


def test_users_like_a_user_by_their_best_pair_of_interests(served: "Served", artifact: Artifact) -> None:
    answer = served.client.find_similar("users", user="u4", k=1_000)
    own = served.client.batch_get_embeddings("users", ["u4"]).vectors
    # A user may have fewer interests than there are places for them.
    there = (artifact.user_vectors != 0).any(axis=2, keepdims=True) & (own != 0).any(axis=1)
    best = np.where(there, artifact.user_vectors @ own.T, -np.inf).max(axis=(1, 2))
    index = artifact.users.index_of(ids(answer))
    assert len(ids(answer)) == len(set(ids(answer))) == len(artifact.users) - 1
    assert "u4" not in ids(answer)
    np.testing.assert_allclose(cosines(answer), best[index], atol=1e-5)
    assert cosines(answer) == sorted(cosines(answer), reverse=True)
    assert ids(served.client.find_similar("users", user="u4", k=3)) == ids(answer)[:3]
    assert answer.HasField("history_as_of")


def test_items_and_users_of_a_category(served: "Served", artifact: Artifact) -> None:
    vector = artifact.category_vectors[int(artifact.categories.index_of(["c2"])[0])]
    items = served.client.find_similar("items", category="c2", k=10)
    gone = set(artifact.items.index_of(["i9"]).tolist())
    assert ids(items) == artifact.items.externals_of(nearest(artifact.item_vectors, vector, gone)[:10])
    categories = served.client.find_similar("categories", category="c2", k=10)
    assert set(ids(categories)) == {"c-all", "c0", "c1", "c3"}  # neither itself nor the empty one
    assert len(ids(served.client.find_similar("users", category="c2", k=10))) == 10


def test_a_vector_of_ones_own_finds_what_it_was_made_from(served: "Served") -> None:
    mine = served.client.batch_get_embeddings("items", ["i30"])
    answer = served.client.find_similar("items", vector=(mine.vector_space, 7.5 * mine.vectors[0]), k=3)
    assert ids(answer)[0] == "i30"
    assert cosines(answer)[0] == pytest.approx(1, abs=1e-5)


def test_filters_act_before_the_nearest_are_taken(served: "Served") -> None:
    everything = ids(served.client.find_similar("items", item="i12", k=1_000))
    wanted = common.ItemFilter(categories_in=["c1"], items_out=["i1"])
    found = ids(served.client.find_similar("items", item="i12", k=5, item_filter=wanted))
    assert found == [item for item in everything if int(item[1:]) % 4 == 1 and item != "i1"][:5]
    unseen = common.ItemFilter(seen=common.SEEN_RULE_EXCLUDE)
    seen = common.ItemFilter(seen=common.SEEN_RULE_ONLY)
    both = [set(ids(served.client.find_similar("items", user="u4", k=60, item_filter=f))) for f in (unseen, seen)]
    assert not both[0] & both[1]
    assert len(both[0] | both[1]) == 59


@pytest.mark.parametrize("source", ["user", "item", "category"])
def test_an_unknown_source_is_not_found(served: "Served", source: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        served.client.find_similar("items", **{source: "no such thing"})  # type: ignore[arg-type]  # one name of several
    assert caught.value.reason == ("NO_VECTOR" if source == "user" else f"UNKNOWN_{source.upper()}")


def test_a_category_without_items_has_no_vector(served: "Served") -> None:
    with pytest.raises(NotFoundError) as caught:
        served.client.find_similar("items", category="c-empty")
    assert caught.value.reason == "NO_VECTOR"
    assert "nothing is below it" in str(caught.value)


def test_an_item_of_which_nothing_is_known_has_no_vector(world: "World", run: "Callable[[], Running]") -> None:
    """Neither events nor categories nor features: a refreshed revision knows the item, and says what it lacks."""
    database = Database(world.url)
    upsert_items(database, pa.table({"item": ["i-plain"]}))
    refresh(database, world.artifacts, activate=True)
    database.close()
    with pytest.raises(NotFoundError) as caught:
        run().client.find_similar("items", item="i-plain")
    assert caught.value.reason == "NO_VECTOR"
    assert "nothing tells what it is like" in str(caught.value)


def test_vectors_that_cannot_be_compared_are_refused(served: "Served") -> None:
    with pytest.raises(FailedPreconditionError) as caught:
        served.client.find_similar("items", vector=("m7", np.ones(16)))
    assert caught.value.reason == "VECTOR_SPACE_MISMATCH"
    for values in (np.ones(15), np.zeros(16), np.full(16, np.nan), np.full(16, np.inf), np.zeros(0)):
        with pytest.raises(InvalidArgumentError) as refused:
            served.client.find_similar("items", vector=("m1", values))
        assert refused.value.reason == "INVALID_VECTOR"


def test_a_filter_without_its_subject_is_refused(served: "Served") -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        served.client.find_similar("users", item="i1", item_filter=common.ItemFilter(items_out=["i1"]))
    assert caught.value.reason == "FILTER_WITHOUT_ITEMS"
    with pytest.raises(InvalidArgumentError) as caught:
        served.client.find_similar("items", item="i1", item_filter=common.ItemFilter(seen=common.SEEN_RULE_ONLY))
    assert caught.value.reason == "SEEN_WITHOUT_USER"


def test_half_precision_is_enough_for_three_digits(served: "Served", artifact: Artifact) -> None:
    half = served.client.batch_get_embeddings("items", ["i1", "i2"], half=True)
    assert half.vectors.dtype == np.float16
    whole = artifact.item_vectors[artifact.items.index_of(["i1", "i2"])]
    np.testing.assert_allclose(half.vectors, whole, atol=1e-3)
    assert vectors.encode(whole).element_type == common.ELEMENT_TYPE_F32
