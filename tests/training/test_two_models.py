"""Two models of different seeds, trained one after the other: compared, and the second turned onto the first."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graph.snapshot import Snapshot
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import ArtifactError, ConflictError
from graph.storage.labels import labels
from training.artifact import Artifact, load_artifact
from training.artifact_publish import publish_revision
from training.comparison import overlap
from training.measure import measure
from training.promotion import judge_recorded, promote
from training.promotion_gate import Comparison, Thresholds
from training.refresh import refresh
from training.train_run import Options, Trained, train

OPTIONS = Options(
    holdout_days=20, validation_days=20, net={"dim": 8, "epochs": 16, "max_history": 20, "seed": 1}, device="cpu"
)


@dataclass(frozen=True)
class Two:
    """m1.1 serves, m2.1 is published: same store, same days, other random numbers."""

    database: Database
    root: Path
    first: Trained
    second: Trained

    def artifact(self, version: str) -> Artifact:
        return load_artifact(self.root / version)


@pytest.fixture(scope="module")
def two(
    sqlite_template: Path,
    shop: Snapshot,
    fill_store: Callable[[Database, Snapshot], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Two]:
    root = tmp_path_factory.mktemp("two")
    shutil.copyfile(sqlite_template, root / "penchant.db")
    database = Database(f"sqlite:///{root / 'penchant.db'}")
    fill_store(database, shop)
    first = train(database, root, OPTIONS)
    second = train(database, root, replace(OPTIONS, net=OPTIONS.net | {"seed": 3}, activate=False))
    yield Two(database, root, first, second)
    database.close()


@pytest.fixture
def own(two: Two, tmp_path: Path) -> Iterator[Two]:
    """The same for a test that changes what is recorded."""
    shutil.copytree(two.root, tmp_path / "two")
    database = Database(f"sqlite:///{tmp_path / 'two' / 'penchant.db'}")
    yield replace(two, database=database, root=tmp_path / "two")
    database.close()


def comparison_of(two: Two) -> Comparison:
    found = registry.get_revision(two.database, two.second.version).comparison
    assert found is not None
    return Comparison.model_validate(found)


def test_a_new_model_is_compared_with_the_active_one_on_its_own_window(two: Two) -> None:
    assert registry.get_revision(two.database, two.first.version).comparison is None
    found = comparison_of(two)
    assert (found.version, found.problem) == ("m1.1", "")
    assert found.ndcg == two.second.verdict.results[0].means["ndcg@10"]
    # The active model is asked what the new one is asked, and its window was the same: it does as well as it did.
    assert found.active_ndcg == pytest.approx(two.first.verdict.results[0].means["ndcg@10"], abs=2e-3)
    assert found.requests == len(two.second.verdict.results[0].top_items)
    assert 0.2 < found.overlap < 1
    assert {check.verdict for check in two.second.gate.checks} == {"passed"}


def test_measured_again_a_comparison_says_the_same(own: Two) -> None:
    before = comparison_of(own)
    registry.note_comparison(own.database, own.second.version, Comparison(version="m9.9").model_dump())
    assert not judge_recorded(own.database, own.second.version).passes
    again = measure(own.database, own.root, own.second.version)
    assert again == comparison_of(own)
    assert again.ndcg == pytest.approx(before.ndcg, abs=2e-3)
    assert again.overlap == pytest.approx(before.overlap, abs=0.02)
    assert judge_recorded(own.database, own.second.version).passes


def test_there_is_nothing_to_measure_beside_itself(two: Two) -> None:
    with pytest.raises(ConflictError, match="No other model"):
        measure(two.database, two.root, two.first.version)


def test_what_was_activated_while_a_refresh_ran_goes_on_to_serve(own: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and refresh run by the clock, and somebody may roll back meanwhile."""

    def published(*arguments: Any) -> Path:
        promote(own.database, own.second.version, force=True, reason="a test")
        return publish_revision(*arguments)

    monkeypatch.setattr("training.refresh.publish_revision", published)
    with pytest.raises(ConflictError, match=r"m1\.1 serves no longer") as caught:
        refresh(own.database, own.root)
    assert "m1.2 is there" in caught.value.hint
    active = registry.active_revision(own.database)
    assert active is not None
    assert active.version == own.second.version
    assert registry.get_revision(own.database, registry.Version(1, 2)).path == "m1.2"


def test_measuring_beside_a_folder_that_is_gone_keeps_what_was_found_before(own: Two) -> None:
    noted = registry.get_revision(own.database, own.second.version).comparison
    shutil.rmtree(own.root / "m1.1")
    with pytest.raises(ArtifactError, match="nothing to compare"):
        measure(own.database, own.root, own.second.version)
    assert registry.get_revision(own.database, own.second.version).comparison == noted


def test_a_refresh_of_a_model_that_may_not_serve_does_not_serve_either(own: Two) -> None:
    registry.note_comparison(own.database, own.second.version, comparison_of(own).model_dump() | {"ndcg": 0.0})
    refused = refresh(own.database, own.root, version=own.second.version)
    assert (str(refused.version), refused.is_active) == ("m2.2", False)
    assert refused.gate is not None
    assert not refused.gate.passes
    active = registry.active_revision(own.database)
    assert active is not None
    assert active.version == own.first.version
    promote(own.database, own.second.version, force=True, reason="a test")
    refresh(own.database, own.root)  # what serves goes on to serve
    active = registry.active_revision(own.database)
    assert active is not None
    assert active.version == registry.Version(2, 3)


def test_an_active_model_whose_files_are_gone_does_not_stop_a_training(own: Two) -> None:
    (own.root / "m1.1" / "item_vectors.npy").unlink()
    options = replace(OPTIONS, net=OPTIONS.net | {"epochs": 1}, thresholds=Thresholds(ndcg_of_baseline=0))
    third = train(own.database, own.root, options)
    assert third.is_active
    assert third.alignment is None
    skipped = [check for check in third.gate.checks if check.verdict == "skipped"]
    assert any("item_vectors.npy is missing" in check.reason for check in skipped)


def test_the_second_model_is_turned_onto_the_first_and_stays_in_its_space(two: Two) -> None:
    first, second = two.artifact("m1.1"), two.artifact("m2.1")
    assert second.manifest.vector_space == first.manifest.vector_space == "m1"
    assert registry.get_revision(two.database, two.second.version).vector_space == "m1"
    alignment = two.second.alignment
    assert alignment is not None
    assert alignment.rotation is not None
    assert alignment.items == 80
    assert 0.1 < alignment.residual < 0.6
    assert second.manifest.config["alignment"] == alignment.settings
    # As the net made them the vectors of the two have nothing in common.
    as_made = second.item_vectors @ alignment.rotation.T
    assert cosines(first.item_vectors, as_made).mean() < 0.5
    assert cosines(first.item_vectors, second.item_vectors).mean() > 0.8


def test_an_index_of_the_old_items_answers_the_new_users(two: Two) -> None:
    first, second = two.artifact("m1.1"), two.artifact("m2.1")
    users = second.user_vectors[:, 0]
    users = users[users.any(axis=1)]
    old, new = ranked(users, first.item_vectors), ranked(users, second.item_vectors)
    by_chance = 10 / len(second.items)
    assert overlap(old, new).mean() > 3 * by_chance
    alignment = two.second.alignment
    assert alignment is not None
    assert alignment.rotation is not None
    as_made = ranked(users @ alignment.rotation.T, first.item_vectors)
    assert overlap(as_made, new).mean() < overlap(old, new).mean() / 1.5


def test_segments_of_models_in_one_space_have_ids_of_their_own(two: Two) -> None:
    first, second = (two.artifact(version).segments.segments for version in ("m1.1", "m2.1"))
    assert first
    assert second
    assert not {each.id for each in first} & {each.id for each in second}


def test_a_refresh_stays_turned(own: Two) -> None:
    version, path, *_ = refresh(own.database, own.root, version=own.second.version, activate=False)
    assert str(version) == "m2.2"
    before, after = own.artifact("m2.1"), load_artifact(path)
    assert after.manifest.vector_space == "m1"
    assert cosines(before.item_vectors, after.item_vectors).mean() > 0.9
    assert labels(own.database) == []


def test_vectors_of_another_width_are_a_space_of_their_own(own: Two) -> None:
    third = train(own.database, own.root, replace(OPTIONS, net=OPTIONS.net | {"dim": 4, "epochs": 1}, activate=False))
    assert third.alignment is None
    assert load_artifact(third.path).manifest.vector_space == "m3"


def test_above_the_threshold_vectors_are_a_space_of_their_own(own: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.alignment.MOST", 0.01)
    third = train(own.database, own.root, replace(OPTIONS, net=OPTIONS.net | {"seed": 2, "epochs": 1}, activate=False))
    assert third.alignment is not None
    assert "a space of its own" in str(third.alignment)
    assert load_artifact(third.path).manifest.vector_space == "m3"


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.einsum("nd,nd->n", a, b)
    return found


def ranked(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.argsort(-(users @ items.T), axis=1)[:, :10]
    return found
