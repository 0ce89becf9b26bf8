"""From a store to a revision that serves: train, refuse or activate, refresh, and answers that follow new events."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from graph.ids import IdMap
from graph.snapshot import HASH_DEFINITION, Snapshot, take_snapshot
from graph.state.current import STATE
from graph.storage import registry
from graph.storage.database import Database
from graph.storage.errors import ArtifactError, NotFoundError, TrainingError
from graph.storage.events import append_events
from graph.storage.items import upsert_items
from graph.storage.times import DAY_US, format_time, now_us
from training.artifact import load_artifact
from training.evaluation.protocols import time_split
from training.evaluation.run import Options as EvaluateOptions
from training.evaluation.run import run
from training.mixture_build import graph_of, mixture_of
from training.promotion_gate import Thresholds
from training.refresh import check_same_store, model_ranker, refresh
from training.train_run import CHECKPOINT, RUN, Options, Trained, parts_of, train

FillStore = Callable[[Database, Snapshot], None]
SMALL: dict[str, Any] = {"dim": 8, "epochs": 2, "max_history": 10, "seed": 3}
OPTIONS = Options(holdout_days=20, validation_days=20, net=SMALL, device="cpu")


@pytest.fixture
def store(sqlite_database: Database, shop: Snapshot, fill_store: FillStore) -> Database:
    fill_store(sqlite_database, shop)
    return sqlite_database


@pytest.fixture
def trained(store: Database, tmp_path: Path) -> Trained:
    return train(store, tmp_path / "artifacts", OPTIONS)


def test_training_publishes_registers_and_activates(store: Database, trained: Trained) -> None:
    assert str(trained.version) == "m1.1"
    active = registry.active_revision(store)
    assert active is not None
    assert active.version == trained.version
    assert active.path == trained.path.name
    artifact = load_artifact(trained.path)
    assert artifact.manifest.vector_space == active.vector_space == "m1"
    assert artifact.manifest.snapshot_hash == active.snapshot_hash
    assert trained.curves.read_bytes().startswith(b"\x89PNG")


def test_the_hold_out_is_in_nothing_that_is_published(store: Database, trained: Trained) -> None:
    artifact = load_artifact(trained.path)
    whole = take_snapshot(store, as_of=None)
    cut = whole.as_of - 20 * DAY_US
    assert artifact.manifest.as_of == cut
    split = time_split(whole, test_start=cut)
    counted = model_ranker(artifact, split.refreshed)
    assert counted is artifact.mixture  # the column's events are the artifact's, so nothing was counted anew
    as_trained = model_ranker(artifact, split.trained)
    fitted = trained.learned.mixture.scores(split.validation.histories, split.validation.now_us)
    again = as_trained.scores(split.validation.histories, split.validation.now_us)
    np.testing.assert_allclose(again, fitted, atol=1e-3)


@pytest.mark.parametrize(
    ("noted", "why"),
    [(f"{HASH_DEFINITION}:" + "0" * 32, "changed in its past"), ("0" * 32, "begun by an older version")],
)
def test_a_run_goes_on_only_over_the_store_that_it_began_with(
    sqlite_database: Database, shop: Snapshot, fill_store: FillStore, tmp_path: Path, noted: str, why: str
) -> None:
    fill_store(sqlite_database, shop)
    times = {"as_of": shop.as_of, "known_at": now_us(), "snapshot_hash": noted}
    (tmp_path / CHECKPOINT).mkdir()
    (tmp_path / CHECKPOINT / RUN).write_text(json.dumps(times), encoding="utf-8")
    with pytest.raises(TrainingError, match=why):
        train(sqlite_database, tmp_path, replace(OPTIONS, resume=True))


def test_the_loaded_artifact_scores_like_what_was_published(store: Database, trained: Trained) -> None:
    artifact = load_artifact(trained.path)
    split = time_split(take_snapshot(store, as_of=None), test_start=artifact.manifest.as_of)
    model = trained.learned.model
    fresh = mixture_of(model, split.refreshed)
    queries = split.test
    served = artifact.mixture.scores(queries.histories, queries.now_us)
    np.testing.assert_allclose(served, fresh.scores(queries.histories, queries.now_us), atol=1e-4)
    within, told = model.calibration.within(), artifact.calibration.within()
    assert within is not None
    assert told is not None
    assert within.horizon.days == split.validation_outcomes.days
    np.testing.assert_array_equal(told.table, within.table)


def test_the_same_seed_gives_the_same_model(store: Database, trained: Trained, tmp_path: Path) -> None:
    again = train(store, tmp_path / "other", OPTIONS)
    assert again.version.model == 2
    first, second = load_artifact(trained.path), load_artifact(again.path)
    np.testing.assert_array_equal(first.item_vectors, second.item_vectors)
    np.testing.assert_array_equal(first.gate.weight, second.gate.weight)
    np.testing.assert_array_equal(first.segments.centers, second.segments.centers)
    assert first.manifest.metrics == second.manifest.metrics


def test_refresh_takes_in_newer_events_and_items_under_the_same_weights(store: Database, trained: Trained) -> None:
    root = trained.path.parent
    upsert_items(store, pa.table({"item": ["brand-new"], "name": ["Brand new"], "categories": [["c2"]]}))
    events = {"user": ["u0"], "item": ["brand-new"], "kind": ["purchase"], "occurred_at": [130 * DAY_US]}
    append_events(store, pa.table(events), source="test")

    version, path, *_ = refresh(store, root)

    assert str(version) == "m1.2"
    active = registry.active_revision(store)
    assert active is not None
    assert active.version == version
    old, new = load_artifact(trained.path), load_artifact(path)
    assert new.manifest.as_of > old.manifest.as_of
    assert new.manifest.vector_space == old.manifest.vector_space
    assert new.items.index_of(["brand-new"])[0] == len(new.items) - 1
    assert np.linalg.norm(new.item_vectors[-1]) == pytest.approx(1, abs=1e-3)
    assert [s.id for s in new.segments.segments] == [s.id for s in old.segments.segments]
    assert sum(s.size for s in new.segments.segments) == 119
    np.testing.assert_array_equal(new.gate.weight, old.gate.weight)


def test_refresh_on_what_was_kept_is_a_refresh_from_the_start(store: Database, trained: Trained) -> None:
    root, said = trained.path.parent, list[str]()
    refresh(store, root, say=said.append)
    assert said == ["The graph is counted from the start: there is none yet."]
    events = {"user": ["u0", "new"], "item": ["i3", "i4"], "kind": ["purchase", "purchase"]}
    append_events(store, pa.table({**events, "occurred_at": [60 * DAY_US, 130 * DAY_US]}), source="test")
    _, kept, *_ = refresh(store, root, say=said.append)
    assert len(said) == 1
    shutil.rmtree(root / STATE)
    _, anew, *_ = refresh(store, root, say=said.append)
    assert len(said) == 2
    one, other = load_artifact(kept), load_artifact(anew)
    assert one.manifest.snapshot_hash == other.manifest.snapshot_hash
    np.testing.assert_array_equal(one.item_vectors, other.item_vectors)
    np.testing.assert_array_equal(one.user_vectors, other.user_vectors)


def test_refresh_keeps_rows_and_weights_together_when_the_index_space_grows_in_the_middle(
    store: Database, trained: Trained
) -> None:
    """The net finds an item's row by the surrogate id, not by the place that it had in training."""
    artifact = load_artifact(trained.path)
    snapshot = take_snapshot(store, as_of=artifact.manifest.as_of)
    graph = graph_of(snapshot, None)
    before = artifact.net.item_vectors(graph)
    order = np.array([1, 0, *range(2, len(snapshot.items))])
    graph["item"].node_id = graph["item"].node_id[order]
    moved = artifact.net.item_vectors(graph)
    assert not np.allclose(before[0], moved[0])


def test_refresh_refuses_a_store_with_other_items(trained: Trained, shop: Snapshot) -> None:
    artifact = load_artifact(trained.path)
    other = replace(shop, items=IdMap(shop.items.external, artifact.items.surrogate + 1))
    with pytest.raises(ArtifactError, match="another store"):
        check_same_store(artifact, other)


def test_refresh_without_a_model_says_what_to_do(sqlite_database: Database, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="penchant train"):
        refresh(sqlite_database, tmp_path)


def test_an_empty_store_cannot_be_learned_from(sqlite_database: Database, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="penchant ingest"):
        train(sqlite_database, tmp_path, OPTIONS)
    assert registry.revisions(sqlite_database) == []


def test_a_model_that_loses_is_published_but_does_not_serve(store: Database, tmp_path: Path) -> None:
    too_much = replace(OPTIONS, thresholds=Thresholds(ndcg_of_baseline=1_000))
    refused = train(store, tmp_path, too_much)
    assert refused.path.is_dir()
    assert not refused.is_active
    assert registry.active_revision(store) is None

    forced = train(store, tmp_path, replace(too_much, force=True))
    assert forced.is_active
    assert [a.forced for a in registry.activations(store)] == [True]


def test_without_a_hold_out_the_newest_window_validates_and_all_is_published(store: Database, tmp_path: Path) -> None:
    result = train(store, tmp_path, replace(OPTIONS, holdout_days=0))
    assert load_artifact(result.path).manifest.as_of == take_snapshot(store, as_of=None).as_of


def test_a_hold_out_counts_back_from_what_stands_not_from_a_retraction(store: Database, tmp_path: Path) -> None:
    before = take_snapshot(store, as_of=None)
    late = before.as_of + 1_000 * DAY_US
    tried = {"user": ["u0"], "item": ["i0"], "kind": ["purchase"], "occurred_at": [late], "event_id": ["tried"]}
    append_events(store, pa.table(tried), source="test")
    withdrawn = {"user": ["u0"], "item": ["i0"], "kind": ["retract"], "occurred_at": [late + 1], "retracts": ["tried"]}
    append_events(store, pa.table(withdrawn), source="test")

    result = train(store, tmp_path, OPTIONS)

    assert load_artifact(result.path).manifest.as_of == before.as_of - 20 * DAY_US
    report = run(store, tmp_path, EvaluateOptions(holdout_days=20, validation_days=20, baselines=()))
    assert report.settings["test_start"] == format_time(before.as_of - 20 * DAY_US)


@pytest.mark.parametrize("holdout_days", [0.0, 20.0])
def test_windows_end_with_the_newest_event_whatever_was_withdrawn_later(shop: Snapshot, holdout_days: float) -> None:
    later = replace(shop, as_of=shop.as_of + 3 * DAY_US)
    parts = parts_of(later, Options(holdout_days=holdout_days, validation_days=20))
    assert parts.outcomes.days == 20
