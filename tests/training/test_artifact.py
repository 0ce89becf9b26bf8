"""A published revision comes back as it was; a folder that was touched in any way is refused, by the file's name."""

import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from graph.ids import IdMap
from graph.memories.pace import Pace
from graph.storage.errors import ArtifactError, ConflictError
from training.artifact import load_artifact
from training.artifact_manifest import file_entry, read_manifest, write_manifest
from training.artifact_publish import Revision, publish_model, publish_revision
from training.fast.cells import Cells, cells_of, read_cells, write_cells
from training.gate import Gate
from training.memories import ItemToItem, Repeats
from training.ranker import Ranker
from training.segments import CategoryLift, Segment, Segments, no_segments

ITEMS, USERS, CATEGORIES, DIM = 5, 3, 2, 4


def a_revision(**changes: Any) -> Revision:
    random = np.random.default_rng(0)

    def vectors(*shape: int) -> Any:
        return random.normal(size=shape).astype(np.float32)

    neighbours = sparse.csr_array(np.eye(ITEMS, dtype=np.float32)[[1, 2, 3, 4, 0]])
    segment = Segment("s-1f", "Tea", 2, (CategoryLift("tea", "Tea", 3.0, 0.5),))
    members = (np.array([0, 2]), np.array([2, 0], np.int32), np.array([0.9, 0.8], np.float32))
    content: dict[str, Any] = {
        "items": IdMap.of([f"i{n}" for n in range(ITEMS)]),
        "categories": IdMap.of(["drinks", "tea"]),
        "users": IdMap.of(["ann", "bob", "cem"]),
        "item_names": pa.array(["Green", None, "Black", "White", "Ä"]),
        "item_available": np.array([True, True, False, True, True]),
        "category_names": pa.array(["Drinks", "Tea"]),
        "category_parent": np.array([-1, 0], np.int32),
        "item_categories": sparse.csr_array(np.eye(ITEMS, CATEGORIES, dtype=np.float32)),
        "item_vectors": vectors(ITEMS, DIM),
        "category_vectors": vectors(CATEGORIES, DIM),
        "user_vectors": vectors(USERS, 1, DIM),
        "user_weights": np.ones((USERS, 1), np.float32),
        "popularity": np.full(ITEMS, 0.2, np.float32),
        "memories": (
            ItemToItem("follows", 0.6, "follows", neighbours, np.ones(ITEMS, np.float32)),
            Repeats("repeats", 120.0),
        ),
        "gate": Gate(("net", "follows"), np.ones((2, 2)), np.zeros(2), np.zeros(2), np.ones(2)),
        "ranker": Ranker(
            ("a", "b"), vectors(2), np.ones(2, np.float32), ((vectors(3, 2), vectors(3)), (vectors(1, 3), vectors(1)))
        ),
        "pace": Pace(np.array([5, 1 << 32], np.int64), ITEMS),
        "novelty": 0.25,
        "segments": Segments((segment,), vectors(1, DIM), np.zeros(DIM, np.float32), 8.0, *members),
        "kinds": ({"name": "purchase", "weight": 1.0, "sign": 1, "half_life_days": None},),
        "as_of": 1_000,
        "known_at": 2_000,
        "snapshot_hash": "ab",
        "vector_space": "m1",
        "config": {"dim": DIM},
        "metrics": {"ndcg@10": 0.06},
    }
    return Revision(**(content | changes))


@pytest.fixture
def published(tmp_path: Path) -> Path:
    publish_model(tmp_path, 1, {"w": torch.ones(2)}, {"dim": DIM})
    return publish_revision(tmp_path, 1, 12, a_revision())


def test_comes_back_as_it_was(published: Path) -> None:
    expected, artifact = a_revision(), load_artifact(published)

    assert artifact.version == "m1.12"
    assert artifact.users.index_of(["cem", "nobody"]).tolist() == [2, -1]
    assert artifact.item_names.to_pylist()[3:] == ["White", "Ä"]
    assert artifact.item_available.tolist() == [True, True, False, True, True]
    assert artifact.category_parent.tolist() == [-1, 0]
    np.testing.assert_array_equal(artifact.item_categories.toarray(), expected.item_categories.toarray())
    for name in ("item_vectors", "category_vectors", "user_vectors", "user_weights", "popularity"):
        np.testing.assert_array_equal(getattr(artifact, name), getattr(expected, name))
    assert [memory.name for memory in artifact.memories] == ["follows", "repeats"]
    read, written = artifact.memories[0], expected.memories[0]
    assert isinstance(read, ItemToItem)
    assert isinstance(written, ItemToItem)
    np.testing.assert_array_equal(read.neighbours.toarray(), written.neighbours.toarray())
    assert artifact.segments.segments == expected.segments.segments
    assert artifact.segments.members_of(0)[0].tolist() == [2, 0]


def test_cells_come_back_as_they_were_and_no_others(tmp_path: Path) -> None:
    """They are looked into by compiled loops, which check nothing."""
    random = np.random.default_rng(1)

    def vectors(*shape: int) -> Any:
        return random.normal(size=shape).astype(np.float32)

    publish_model(tmp_path, 1, {"w": torch.ones(2)}, {"dim": DIM})
    expected = cells_of(vectors(ITEMS, DIM), vectors(ITEMS), 7.0, few=1)
    path = publish_revision(tmp_path, 1, 12, a_revision(cells=expected))
    found = load_artifact(path).cells
    assert found is not None
    for field in fields(Cells):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(expected, field.name))
    assert load_artifact(publish_revision(tmp_path, 1, 13, a_revision())).cells is None
    for name, wrong, said in (
        ("item", np.zeros(ITEMS, np.int32), "does not hold each row once"),
        ("item", np.full(ITEMS, ITEMS, np.int32), "names rows that there are not"),
        ("offsets", expected.offsets[::-1], "does not begin with 0, or falls"),
        ("offsets", np.zeros_like(expected.offsets), "does not end with the last row"),
        ("center", vectors(len(expected.center), DIM + 1), "has shape"),
    ):
        folder = tmp_path / name
        changes: dict[str, Any] = {name: wrong}
        write_cells(folder, replace(expected, **changes))
        with pytest.raises(ArtifactError, match=said):
            read_cells(folder, ITEMS, DIM)


def test_arrays_are_mapped_and_cannot_be_written(published: Path) -> None:
    artifact = load_artifact(published)

    def base(array: Any) -> Any:
        while isinstance(array, np.ndarray) and not isinstance(array, np.memmap):
            array = array.base
        return array

    memory = artifact.memories[0]
    assert isinstance(memory, ItemToItem)
    for array in (artifact.item_vectors, artifact.user_vectors, memory.neighbours.data, memory.neighbours.indices):
        assert isinstance(base(array), np.memmap)
        assert not array.flags.writeable


def test_a_store_without_users_items_or_segments_is_valid(tmp_path: Path) -> None:
    publish_model(tmp_path, 1, {"w": torch.ones(2)}, {})
    nothing = np.zeros((0, 1, DIM), np.float32)
    segments = no_segments(DIM)
    users = {"users": IdMap.of([]), "user_vectors": nothing, "user_weights": nothing[:, :, 0], "segments": segments}
    artifact = load_artifact(publish_revision(tmp_path, 1, 1, a_revision(**users)))

    assert len(artifact.users) == 0
    assert artifact.segments.assign(np.ones((2, DIM), np.float32)).shape == (2, 0)


def test_publishing_over_a_revision_or_model_is_refused(published: Path) -> None:
    before = (published / "manifest.json").read_bytes()
    with pytest.raises(ConflictError, match=r"m1\.12 is published already"):
        publish_revision(published.parent, 1, 12, a_revision(as_of=5))
    with pytest.raises(ConflictError, match="published already"):
        publish_model(published.parent, 1, {"w": torch.zeros(2)}, {})
    assert (published / "manifest.json").read_bytes() == before


def test_a_failed_publication_leaves_nothing_behind(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.artifact_publish.write_gate", full_disk)
    with pytest.raises(ArtifactError, match="No space left"):
        publish_revision(published.parent, 1, 13, a_revision())
    assert sorted(os.listdir(published.parent)) == ["m1", "m1.12"]


@pytest.mark.parametrize("name", ["item_vectors", "user_vectors", "popularity"])
def test_vectors_that_are_not_finite_are_not_published(published: Path, name: str) -> None:
    vectors = getattr(a_revision(), name).copy()
    vectors.flat[0] = np.nan
    with pytest.raises(ArtifactError, match=f"{name} holds numbers that are not finite"):
        publish_revision(published.parent, 1, 13, a_revision(**{name: vectors}))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip_a_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0x04
    file.write_bytes(content)


def empty(file: Path) -> None:
    file.write_bytes(b"")


def delete(file: Path) -> None:
    file.unlink()


@pytest.mark.parametrize("damage", [truncate, flip_a_byte, empty, delete])
def test_each_damaged_file_is_named(published: Path, damage: Callable[[Path], None]) -> None:
    files = [f for f in (*published.rglob("*"), *(published.parent / "m1").iterdir()) if f.is_file()]
    assert len(files) > 20
    for file in files:
        if file.name == "manifest.json" and damage is truncate:
            continue  # takes a line's end from it, and nothing else
        whole = file.read_bytes()
        damage(file)
        with pytest.raises(ArtifactError, match=file.name) as refused:
            load_artifact(published)
        assert refused.value.hint
        file.write_bytes(whole)
    load_artifact(published)


def test_every_byte_of_a_manifest_counts(published: Path) -> None:
    manifest = published / "manifest.json"
    whole = manifest.read_bytes()
    for place in range(0, len(whole), 7):
        if whole[place : place + 1].isspace():
            continue
        manifest.write_bytes(whole[:place] + bytes([whole[place] ^ 0x01]) + whole[place + 1 :])
        with pytest.raises(ArtifactError, match=r"manifest\.json"):
            load_artifact(published)


def test_an_unknown_format_version_is_refused(published: Path) -> None:
    manifest = published / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format_version": 2}))
    with pytest.raises(ArtifactError, match="format version 2") as refused:
        load_artifact(published)
    assert refused.value.reason == "ARTIFACT_FORMAT_UNKNOWN"


def test_a_file_that_the_manifest_does_not_name_is_refused(published: Path) -> None:
    (published / "memories" / "extra.npy").write_bytes(b"x")
    with pytest.raises(ArtifactError, match=r"extra\.npy is not part of the revision"):
        load_artifact(published)


def test_a_folder_under_another_name_is_refused(published: Path) -> None:
    with pytest.raises(ArtifactError, match=r"belongs to m1\.12"):
        load_artifact(published.rename(published.with_name("m1.13")))


def vouch_for(file: Path) -> None:
    """The manifest says that a file is as it should be."""
    fields = read_manifest(file.parent / "manifest.json").model_dump(exclude={"format_version", "checksum"})
    fields["files"][file.name] = file_entry(file)
    write_manifest(file.parent / "manifest.json", fields)


def test_behind_checksums_finiteness_is_still_checked(published: Path) -> None:
    file = published / "item_vectors.npy"
    vectors = np.load(file)
    vectors[0, 0] = np.inf
    np.save(file, vectors)
    vouch_for(file)
    with pytest.raises(ArtifactError, match=r"item_vectors\.npy contains numbers that are not finite"):
        load_artifact(published)


def test_a_pickle_is_never_opened(published: Path) -> None:
    """Even with a manifest that vouches for it."""
    file = published / "popularity.npy"
    np.save(file, np.array([{"a": 1}] * ITEMS, dtype=object), allow_pickle=True)
    vouch_for(file)
    with pytest.raises(ArtifactError, match=r"popularity\.npy cannot be read as an array"):
        load_artifact(published)


def test_how_likely_new_items_are_is_kept(published: Path) -> None:
    assert load_artifact(published).novelty == 0.25


@pytest.mark.parametrize("share", [0.0, 1.5, np.nan])
def test_a_novelty_that_is_no_share_is_refused(tmp_path: Path, share: float) -> None:
    publish_model(tmp_path, 1, {"w": torch.ones(2)}, {"dim": DIM})
    with pytest.raises(ArtifactError, match=r"no share|not finite"):
        load_artifact(publish_revision(tmp_path, 1, 12, a_revision(novelty=share)))


def test_a_ranker_of_other_features_makes_no_further_revisions(published: Path) -> None:
    with pytest.raises(ArtifactError, match="other features"):
        load_artifact(published).require_ranker()
