"""Checkpoints are whole or refused."""

from pathlib import Path

import pytest
import torch

from graph.storage.errors import TrainingError
from training.checkpoint import NAME, load_checkpoint, save_checkpoint

CONFIG = {"dim": 8, "seed": 0}


def test_comes_back_bit_for_bit(tmp_path: Path) -> None:
    state = {"config": CONFIG, "net": {"w": torch.randn(3, 3)}, "random": torch.get_rng_state(), "loss": 0.1 + 0.2}
    assert save_checkpoint(tmp_path / "new", state) == tmp_path / "new" / NAME
    again = load_checkpoint(tmp_path / "new", CONFIG)
    assert again is not None
    assert torch.equal(again["net"]["w"], state["net"]["w"])  # type: ignore[index]  # a dict of several types
    assert again["loss"] == state["loss"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == [NAME]


def test_none_yet(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "nowhere", CONFIG) is None


def test_a_half_written_one_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, {"config": CONFIG, "epoch": 1})

    def dies(state: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]  # a file, for it stands for torch.save
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, {"config": CONFIG, "epoch": 2})
    monkeypatch.undo()
    state = load_checkpoint(tmp_path, CONFIG)
    assert state is not None
    assert state["epoch"] == 1


def test_a_broken_one_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a checkpoint")
    with pytest.raises(TrainingError, match=NAME) as caught:
        load_checkpoint(tmp_path, CONFIG)
    assert caught.value.hint


def test_code_in_it_is_not_run(tmp_path: Path) -> None:
    torch.save({"config": CONFIG, "evil": Path}, tmp_path / NAME)
    with pytest.raises(TrainingError, match="cannot be read"):
        load_checkpoint(tmp_path, CONFIG)


def test_other_settings_are_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {"config": CONFIG})
    with pytest.raises(TrainingError, match="dim"):
        load_checkpoint(tmp_path, {**CONFIG, "dim": 9})
