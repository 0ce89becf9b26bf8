"""The gate: how much the net and each memory are trusted for one user, from cheap features."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.artifact_arrays import read_json, write_json
from training.artifact_manifest import broken


@dataclass(frozen=True)
class Gate:
    """g = softmax(features · weight + bias) over `sources`; a source with nothing to say gets 0.

    `sources`: names, S of them. `weight` float64 [F, S], `bias` float64 [S]; features are standardised by
    `mean` and `scale` [F].
    """

    sources: tuple[str, ...]
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __call__(self, features: NDArray[np.floating[Any]], speaks: NDArray[np.bool_]) -> NDArray[np.float32]:
        """`features` [B, F], `speaks` [B, S] (whether the source offers any item) -> weights [B, S] that sum to 1."""
        logits = ((features - self.mean) / self.scale) @ self.weight + self.bias
        logits = np.where(speaks, logits, -np.inf)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def write_gate(folder: Path, gate: Gate) -> None:
    write_json(
        folder / "gate.json",
        {"sources": list(gate.sources), **{name: getattr(gate, name).tolist() for name in _ARRAYS}},
    )


def read_gate(folder: Path) -> Gate:
    path = folder / "gate.json"
    content = read_json(path)
    try:
        gate = Gate(
            tuple(content["sources"]), **{name: np.asarray(content[name], dtype=np.float64) for name in _ARRAYS}
        )
        features, sources = gate.weight.shape
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(path, f"is not a gate ({error})") from error
    fits = gate.bias.shape == (sources,) == (len(gate.sources),) and gate.mean.shape == gate.scale.shape == (features,)
    if not fits or not all(np.isfinite(getattr(gate, name)).all() for name in _ARRAYS):
        raise broken(path, "has weights of the wrong shape or that are not finite")
    return gate


_ARRAYS = ("weight", "bias", "mean", "scale")
