"""The nets on the device, by revision. One that is not there is loaded beside, and until then nobody waits for it."""

import math
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog
import torch
from torch import Tensor

from graph.arrays import Float32s
from graph.histories import Histories, histories_from_arrays
from graph.storage.errors import ArtifactError
from training.artifact import load_artifact
from training.mixture_net import only_occurring
from training.model import InterestNet

UNUSED_S = 600.0
"""A net that nobody asked for so long goes when another one comes."""
AGAIN_S, AGAIN_AT_MOST_S = 5.0, 300.0
"""How soon one that could not be loaded is tried again, ever more slowly: all its files are read and checked."""

log = structlog.get_logger("penchant.server")


@dataclass(frozen=True)
class NetOnDevice:
    """`vectors` float32 [V, dim], of all items."""

    net: InterestNet
    vectors: Tensor

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "NetOnDevice":
        """Raises ArtifactError for a revision that is broken, OutOfMemoryError where the device has no room for it."""
        artifact = load_artifact(path)
        loaded = cls(artifact.net.to(device), torch.tensor(artifact.item_vectors, device=device))
        if len(loaded.vectors):  # the first pass takes longest
            loaded.users(histories_from_arrays([0], [0], [0], n_items=len(loaded.vectors)))
        return loaded

    def users(self, histories: Histories) -> Float32s:
        """[B, K, dim] on the processor, as `NetSource.users` tells them."""
        occurring, local = only_occurring(histories)
        items = self.vectors[torch.from_numpy(occurring).to(self.vectors.device)]
        users: Float32s = self.net.user_vectors(local, items).cpu().numpy()
        return users


@dataclass
class _Kept:
    net: NetOnDevice | None = None
    asked_at: float = 0.0
    again_at: float = math.inf
    """When it is to be loaded once more, since it could not be. Monotonic seconds."""
    again_after_s: float = AGAIN_S


class Nets:
    """`at` is for one thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[Path, _Kept] = {}

    def at(self, path: Path) -> NetOnDevice | None:
        """The net of a revision's folder; None while it is being loaded, or cannot be."""
        now = time.monotonic()
        if path not in self._kept:
            self._kept = {of: each for of, each in self._kept.items() if now - each.asked_at < UNUSED_S}
        kept = self._kept.setdefault(path, _Kept(again_at=now))
        if now >= kept.again_at:
            kept.again_at = math.inf
            threading.Thread(target=self._load, args=(path, kept), name="load-net", daemon=True).start()
        kept.asked_at = now
        return kept.net

    def _load(self, path: Path, kept: _Kept) -> None:
        """Whoever asks goes on without a net that cannot be loaded, and this process with those that it has; any other
        error may be one of the device."""
        try:
            kept.net = NetOnDevice.load(path, self._device)
        except (ArtifactError, OSError, torch.OutOfMemoryError) as error:
            log.error("cannot load a net on the device", path=str(path), message=str(error), device=str(self._device))
            kept.again_at = time.monotonic() + kept.again_after_s
            kept.again_after_s = min(2 * kept.again_after_s, AGAIN_AT_MOST_S)
        except BaseException as error:
            end_at_once(error)
        else:
            log.info("net on the device", path=str(path), device=str(self._device))


def end_at_once(error: BaseException) -> None:
    """Nobody knows what a device is worth after an error: a new process finds it as it was, and until then workers help
    themselves."""
    log.error("the owner of the device ends", exc_info=error)
    os._exit(1)
