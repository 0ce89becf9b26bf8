"""A folder whose checksums are all right, made by somebody who means harm, is refused by the name of the file."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from graph.storage.errors import ArtifactError
from tests.training.test_artifact import DIM, ITEMS, a_revision
from training.artifact import ITEM_COLUMNS, load_artifact
from training.artifact_arrays import read_table
from training.artifact_manifest import MODEL_FILES, file_entry, model_folder, write_manifest
from training.artifact_publish import publish_model, publish_revision
from training.config import NetConfig
from training.model import InterestNet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "artifacts"
    publish_model(root, 1, {"w": torch.ones(2)}, {"dim": DIM})
    return publish_revision(root, 1, 12, a_revision())


def signed(folder: Path, **changes: Any) -> Path:
    """The folder with a manifest that says all of what is in it now."""
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"] = {
        path.relative_to(folder).as_posix(): file_entry(path).model_dump()
        for path in folder.rglob("*")
        if path.is_file() and path != manifest
    }
    shared = model_folder(folder.parent, 1)
    content["model_files"] = {name: file_entry(shared / name).model_dump() for name in MODEL_FILES}
    fields = {name: value for name, value in content.items() if name not in ("format_version", "checksum")}
    write_manifest(manifest, fields | changes)
    return folder


def npy(shape: str, descr: str = "<f4", data: bytes = b"\0" * 64, header: bytes | None = None) -> bytes:
    text = header or f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def test_what_is_signed_again_is_taken(folder: Path) -> None:
    assert load_artifact(signed(folder)).version == "m1.12"


@pytest.mark.parametrize(
    "name", ["../m1/config.json", "/etc/passwd", "memories/../../x", "a//b", "./gate.json", "a\\..\\b", "a\0b", ""]
)
def test_a_manifest_names_files_below_its_folder_alone(folder: Path, name: str) -> None:
    manifest = folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"][name] = {"bytes": 0, "blake2b": "0" * 64}
    manifest.write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"manifest\.json is not a manifest: files\..*leads out of its folder"):
        load_artifact(folder)


@pytest.mark.parametrize("where", ["m1.12/item_vectors.npy", "m1.12/manifest.json", "m1.12/memories", "m1/config.json"])
def test_links_are_refused(folder: Path, tmp_path: Path, where: str) -> None:
    inside, outside = folder.parent / where, tmp_path / "elsewhere"
    inside.rename(outside)
    inside.symlink_to(outside)
    with pytest.raises(ArtifactError, match=f"{inside.name} is a link"):
        load_artifact(folder)


def test_a_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "big disk").mkdir()
    folder.rename(tmp_path / "big disk" / "m1.12")
    folder.symlink_to(tmp_path / "big disk" / "m1.12")
    assert load_artifact(folder).version == "m1.12"


def test_a_memory_names_no_file_elsewhere(folder: Path) -> None:
    path = folder / "memories.json"
    content = json.loads(path.read_text())
    for name in ("../../m1/x", "/etc/x", 3, None):
        content[0]["name"] = name
        path.write_text(json.dumps(content))
        with pytest.raises(ArtifactError, match=r"memories\.json is not a list of memories"):
            load_artifact(signed(folder))


def zipped(path: Path) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a.npy", npy("(9,)", data=b"\0" * 36))
    return path.read_bytes()


HOSTILE_ARRAYS: dict[str, Callable[[Path], bytes]] = {
    "a shape that the file does not hold": lambda _: npy("(1000000000000,)"),
    "a product that wraps to what it holds": lambda _: npy("(4294967296, 4294967296)"),
    "a number that no machine has": lambda _: npy(f"({10**40},)"),
    "a negative size": lambda _: npy("(-4,)"),
    "two negative sizes": lambda _: npy("(-4, -4)"),
    "nothing, a thousand million million times": lambda _: npy("(1000000000000000,)", "|V0", b""),
    "Python objects": lambda _: npy("(8,)", "|O"),
    "texts": lambda _: npy("(4,)", "<U4"),
    "complex numbers": lambda _: npy("(8,)", "<c8"),
    "a header that is nested without end": lambda _: npy("", header=b"(" * 9_000),
    "a header that is no dictionary": lambda _: npy("", header=b"[1, 2]\n"),
    "a header longer than the file": lambda _: b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "an archive": zipped,
    "a pickle": lambda _: b"\x80\x04\x95" + b"\0" * 100,
    "nothing": lambda _: b"",
    "more than it says": lambda _: npy(f"({ITEMS}, {DIM})", data=b"\0" * (4 * ITEMS * DIM + 4)),
}


@pytest.mark.parametrize("how", HOSTILE_ARRAYS)
def test_an_array_that_is_none_is_refused_by_name(folder: Path, how: str) -> None:
    path = folder / "item_vectors.npy"
    path.chmod(0o644)
    path.write_bytes(HOSTILE_ARRAYS[how](path))
    with pytest.raises(ArtifactError, match=r"item_vectors\.npy "):
        load_artifact(signed(folder))


def test_no_array_may_hold_something_else(folder: Path) -> None:
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*.npy")]
    assert len(names) > 15
    for name in names:
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(npy("(1000000000000,)"))
        with pytest.raises(ArtifactError, match="npy "):
            load_artifact(signed(folder))
        path.write_bytes(before)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("item_categories.indptr", 1, 10**6),
        ("item_categories.indptr", 1, -5),
        ("item_categories.indptr", 0, 1),
        ("item_categories.indices", 0, 10**6),
        ("item_categories.indices", 0, -1),
        ("memories/follows.indptr", 2, 10**6),
        ("memories/follows.indptr", 0, -1),
        ("memories/follows.indices", 0, 10**6),
        ("segment_member_offsets", 0, -1),
        ("segment_members", 0, 10**6),
    ],
)
def test_indices_that_lead_out_of_an_array_are_refused(folder: Path, name: str, place: int, value: int) -> None:
    path = folder / f"{name}.npy"
    array = np.load(path)
    array[place] = value
    np.save(path, array)
    with pytest.raises(ArtifactError, match=r"\.npy "):
        load_artifact(signed(folder))


JSON = ["memories.json", "gate.json", "ranker.json", "segments.json"]


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("text", ["", "null", "3", "[]", "{}", '["x"]', "[" * 100_000, '{"a":' * 100_000, "9" * 9_999])
def test_json_of_any_shape_is_taken_or_refused_by_name(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    if (name, text) == ("memories.json", "[]") or (name, text) == ("memories.json", "{}"):
        assert load_artifact(signed(folder)).memories == ()
        return
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")):
        load_artifact(signed(folder))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format_version":' * 100_000, "[1]", "NaN"])
def test_a_manifest_of_any_shape_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json "):
        load_artifact(folder)


def altered(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, change(table).schema) as writer:
        writer.write_table(change(table))


def test_arrow_lengths_that_lead_out_of_the_file_are_refused(folder: Path) -> None:
    """Every number in the file made a huge one: what was not noticed would be read from elsewhere in memory."""
    path = folder / "items.arrow"
    whole, refused = path.read_bytes(), []
    for place in range(8, len(whole) - 8, 4):
        path.write_bytes(whole[:place] + b"\xff\xff\xff\x7f" + whole[place + 4 :])
        try:
            table = read_table(path, ITEM_COLUMNS, ITEMS)
        except ArtifactError as error:
            refused.append(str(error))
        else:
            assert len(table.to_pylist()) == ITEMS
    assert len(refused) > 100
    assert all("items.arrow" in message for message in refused)


def test_arrow_columns_have_their_types(folder: Path) -> None:
    altered(folder / "items.arrow", lambda table: table.set_column(0, "external_id", pa.array([b"x"] * ITEMS)))
    with pytest.raises(ArtifactError, match=r"items\.arrow has columns of types \[DataType\(binary\)"):
        load_artifact(signed(folder))


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"\xff" * 64,
        struct.pack("<Q", 2**40) + b"{}",
        struct.pack("<Q", 70) + b'{"w":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,8]}}    ' + b"\0" * 8,
        struct.pack("<Q", 70) + b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,80000000000]}}      ' + b"\0" * 8,
    ],
)
def test_weights_that_claim_what_they_do_not_hold_are_refused(folder: Path, weights: bytes) -> None:
    (model_folder(folder.parent, 1) / MODEL_FILES[0]).write_bytes(weights)
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not fit"):
        _ = load_artifact(signed(folder)).net


@pytest.mark.parametrize("settings", ["[]", "3", '{"dim": 1e999}', '{"dimension": 3}', "[" * 100_000])
def test_settings_of_a_net_that_are_none_are_refused(folder: Path, settings: str) -> None:
    (model_folder(folder.parent, 1) / MODEL_FILES[1]).write_text(settings)
    with pytest.raises(ArtifactError, match=r"m1/(model\.safetensors|config\.json) "):
        _ = load_artifact(signed(folder)).net


@pytest.mark.parametrize("claim", [{"dim": 400_000}, {"max_history": 10**12}, {"nets": 10**9}, {"blocks": 10**9}])
def test_settings_larger_than_their_weights_take_no_memory(folder: Path, claim: dict[str, int]) -> None:
    """A net of such a width would have a hundred thousand million weights a layer."""
    shared = model_folder(folder.parent, 1)
    net = InterestNet(NetConfig(dim=8), torch.arange(ITEMS), torch.arange(2), 1)
    save_file(net.state_dict(), shared / MODEL_FILES[0])
    (shared / MODEL_FILES[1]).write_text(json.dumps({"dim": 8}))
    assert load_artifact(signed(folder)).net.config.dim == 8
    (shared / MODEL_FILES[1]).write_text(json.dumps({"dim": 8} | claim))
    with pytest.raises(ArtifactError, match=r"model\.safetensors does not fit"):
        _ = load_artifact(signed(folder)).net
