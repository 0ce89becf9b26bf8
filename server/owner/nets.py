"""The nets on the device, by revision. One that is not there is loaded beside, and until then nobody waits for it."""

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import torch
from torch import Tensor

from graph.arrays import Float32s
from graph.histories import Histories, histories_from_arrays
from training.artifact import load_artifact
from training.mixture_net import only_occurring
from training.model import InterestNet

UNUSED_S = 600.0
"""A net that nobody asked for so long goes when another one comes."""
AGAIN_S = 5.0
"""How soon one that could not be loaded is tried again."""

log = structlog.get_logger("penchant.server")


@dataclass(frozen=True)
class NetOnDevice:
    """`vectors` float32 [V, dim], of all items."""

    net: InterestNet
    vectors: Tensor

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "NetOnDevice":
        """Raises ArtifactError for a revision that is broken, RuntimeError where the device has no room for it."""
        artifact = load_artifact(path)
        loaded = cls(artifact.net.to(device), torch.tensor(artifact.item_vectors, device=device))
        loaded.users(histories_from_arrays([0], [0], [0], n_items=len(loaded.vectors)))  # the first call takes longest
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
    asked_at: float = field(default_factory=time.monotonic)
    failed_at: float | None = None


class Nets:
    """`at` is for one thread."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[Path, _Kept] = {}

    def at(self, path: Path) -> NetOnDevice | None:
        """The net of a revision's folder; None while it is being loaded, or cannot be."""
        now = time.monotonic()
        kept = self._kept.get(path)
        if kept is None or (kept.failed_at is not None and now - kept.failed_at > AGAIN_S):
            self._kept = {of: each for of, each in self._kept.items() if now - each.asked_at < UNUSED_S}
            kept = self._kept[path] = _Kept()
            threading.Thread(target=self._load, args=(path, kept), name="load-net", daemon=True).start()
        kept.asked_at = now
        return kept.net

    def _load(self, path: Path, kept: _Kept) -> None:
        try:
            kept.net = NetOnDevice.load(path, self._device)
        except Exception as error:  # whoever asks goes on without, and the process with the nets that it has
            kept.failed_at = time.monotonic()
            log.error("cannot load a net on the device", path=str(path), message=str(error), device=str(self._device))
        else:
            log.info("net on the device", path=str(path), device=str(self._device))
