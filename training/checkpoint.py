"""The state of a training run on disk, complete enough that a killed run goes on as if never killed."""

import os
from pathlib import Path
from typing import Any

import torch

from graph.storage.errors import TrainingError

NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Writes beside and renames, so that a reader (or a kill at any moment) meets the old state or the new, whole."""
    folder.mkdir(parents=True, exist_ok=True)
    path, beside = folder / NAME, folder / (NAME + ".tmp")
    with beside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return path


def load_checkpoint(folder: Path, config: dict[str, Any]) -> dict[str, Any] | None:
    """The saved state, or None where there is none yet. Raises TrainingError when it is broken or of another config.

    Tensors and plain values only (`weights_only`): a checkpoint cannot run code.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a broken file torch.load raises whatever it trips over
        raise TrainingError(
            f"the checkpoint {path} cannot be read: {error}", hint="Delete it and train anew."
        ) from error
    if state["config"] != config:
        changed = sorted(key for key in {*state["config"], *config} if state["config"].get(key) != config.get(key))
        raise TrainingError(
            f"the checkpoint {path} was made with other settings: {', '.join(changed)}",
            hint="Train with the same settings, or without --resume.",
        )
    return state
