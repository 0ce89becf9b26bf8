"""The ranker: a small perceptron that puts the mixture's strongest items into a better order.

    p'(i) = p(i) · exp(tilt(i)) / Z      tilt = MLP(features of user and item) for a candidate,
                                         the smallest tilt among the user's candidates for all other items

So p' is a distribution again, and what a source contributed to p it contributes to p' in the same share. The mixture
weighs sources by user; the ranker looks at each item: two sources that agree, a brand the user keeps to, an item that
nobody has bought for a year. Who has no history has no tilts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from graph.arrays import Bools, Float32s, Float64s, Int64s
from graph.histories import Histories
from graph.memories.pace import Pace
from training.artifact_arrays import read_array, read_json, write_array, write_json
from training.artifact_manifest import broken
from training.ranker_features import Candidates, ItemFacts, choose, features, with_users

MOST = 6.0
"""Tilts are kept within ± this, whatever the features say."""


@dataclass(frozen=True, eq=False)
class Ranker:
    """`names`: the features, F of them. `mean`, `scale` [F] standardise them.

    `layers`: pairs of weight [n, m] and bias [n], SiLU between them, a single number at the end.
    """

    names: tuple[str, ...]
    mean: Float32s
    scale: Float32s
    layers: tuple[tuple[Float32s, Float32s], ...]

    @torch.inference_mode()
    def tilt(self, x: Float32s) -> Float32s:
        """features [..., F] -> [...]"""
        h = torch.from_numpy((x - self.mean) / self.scale).clamp_(-5, 5)
        for number, (weight, bias) in enumerate(self._tensors):
            h = functional.linear(functional.silu(h) if number else h, weight, bias)
        return np.asarray(h[..., 0].clamp_(-MOST, MOST).numpy())

    @cached_property
    def _tensors(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Copies: arrays that are mapped from a file are not torch's to have."""
        return [(torch.tensor(weight), torch.tensor(bias)) for weight, bias in self.layers]


@dataclass(frozen=True, eq=False)
class Tilted:
    """By what factor each user's probabilities change: [B, C] for the candidates, [B] for all other items.

    `place`: where the candidates stand among the columns that they were chosen from; -1 for a place not taken.
    """

    place: Int64s
    factor: Float32s
    elsewhere: Float32s

    def apply(self, p: Float32s) -> Float32s:
        """p' of p [B, M], in place."""
        row, column = np.nonzero(self.place >= 0)
        column = self.place[row, column]
        kept = p[row, column] * self.factor[self.place >= 0]
        p *= self.elsewhere[:, None]
        p[row, column] = kept
        return p


def tilted(
    ranker: Ranker,
    facts: ItemFacts,
    p: Float32s,
    by_source: Callable[[Int64s], Float32s],
    histories: Histories,
    now_us: Int64s,
    user: Float64s,
) -> Tilted:
    """p: [B, V]; by_source: items [B, C] -> [B, C, S]; user: [B, G]."""
    chosen = choose(p, had_mask(histories))
    x = inputs(p, chosen, by_source, histories, now_us, user, facts)
    known = (histories.lengths > 0)[:, None]  # who has no history is shown what is popular, as it is
    tilt = np.where(chosen.valid, np.where(known, ranker.tilt(x), 0), np.inf)
    least = tilt.min(axis=1, initial=MOST, where=chosen.valid)
    least[~chosen.valid.any(axis=1)] = 0
    factor = np.where(chosen.valid, np.exp(np.where(chosen.valid, tilt, 0)), 0)
    mass = np.where(chosen.valid, np.take_along_axis(p, chosen.place, axis=1), 0)
    z = (mass * factor).sum(axis=1) + np.maximum(1 - mass.sum(axis=1), 0) * np.exp(least)
    return Tilted(
        np.where(chosen.valid, chosen.place, -1),
        (factor / z[:, None]).astype(np.float32),
        (np.exp(least) / z).astype(np.float32),
    )


def inputs(
    p: Float32s,
    chosen: Candidates,
    by_source: Callable[[Int64s], Float32s],
    histories: Histories,
    now_us: Int64s,
    user: Float64s,
    facts: ItemFacts,
) -> Float32s:
    """[B, C, F + G]: what the perceptron reads."""
    mixed = np.take_along_axis(p, chosen.place, axis=1)
    x = features(by_source(chosen.place), mixed, chosen.place, chosen, histories, now_us, facts)
    return with_users(x, user)


def had_mask(histories: Histories) -> Bools:
    """bool [B, V]: which items stand in each history."""
    had = np.zeros((len(histories), histories.n_items), np.bool_)
    had[histories.row_of, histories.item] = True
    return had


def write_ranker(folder: Path, ranker: Ranker | None, pace: Pace) -> None:
    """`pace.npy`, and of a model with a ranker `ranker.json` and `ranker/*.npy`."""
    write_array(folder / "pace.npy", pace.key)
    if ranker is None:
        return
    write_json(folder / "ranker.json", {"features": list(ranker.names), "layers": len(ranker.layers)})
    for name, array in _arrays(ranker).items():
        write_array(folder / "ranker" / f"{name}.npy", array)


def read_pace(folder: Path, n_items: int) -> Pace:
    """Raises ArtifactError."""
    path = folder / "pace.npy"
    if not path.exists():  # a revision of 0.1.0, which has no ranker either
        return Pace(np.zeros(0, np.int64), n_items)
    key = read_array(path, shape=(None,))
    if len(key) and ((np.diff(key) < 0).any() or key[0] < 0 or key[-1] >> 32 >= n_items):
        raise broken(path, "names items that the revision does not have, or is not sorted")
    return Pace(key, n_items)


def _arrays(ranker: Ranker) -> dict[str, NDArray[Any]]:
    arrays = {"mean": ranker.mean, "scale": ranker.scale}
    for number, (weight, bias) in enumerate(ranker.layers):
        arrays |= {f"weight{number}": weight, f"bias{number}": bias}
    return arrays


def read_ranker(folder: Path) -> Ranker | None:
    """None where the model has none. Raises ArtifactError."""
    path = folder / "ranker.json"
    if not path.exists():
        return None
    content = read_json(path)
    try:
        names, n_layers = tuple(str(name) for name in content["features"]), int(content["layers"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise broken(path, f"is not a ranker ({error})") from error
    width, layers = len(names), []
    for number in range(n_layers):
        weight = read_array(folder / "ranker" / f"weight{number}.npy", shape=(None, width))
        layers.append((weight, read_array(folder / "ranker" / f"bias{number}.npy", shape=(len(weight),))))
        width = len(weight)
    mean, scale = (read_array(folder / "ranker" / f"{name}.npy", shape=(len(names),)) for name in ("mean", "scale"))
    ranker = Ranker(names, mean, scale, tuple(layers))
    if width != 1 or not all(np.isfinite(array).all() for array in _arrays(ranker).values()):
        raise broken(path, "has weights of the wrong shape or that are not finite")
    return ranker
