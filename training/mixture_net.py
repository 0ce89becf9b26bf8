"""The net as a source of the mixture: user vectors, and p_net(item) = softmax over the catalog of its logits,

logit = temperature · cosine + log prior (prior.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graph.arrays import Float32s, Int64s
from graph.histories import Histories
from training.likeness import Likeness
from training.model import InterestNet

UsersFrom = Callable[[Histories], Float32s | None]
"""Tells users' vectors [B, K, dim] from their histories; or None, when whoever asks has to find them."""


@dataclass(frozen=True)
class NetSource:
    """`vectors` float32 [V, dim], unit length, as the net gave them for the revision's graph."""

    net: InterestNet
    vectors: Float32s
    prior: Float32s | None = None
    """float32 [V], added to the logits; None: nothing is likelier than anything else."""
    elsewhere: UsersFrom | None = None
    """Who is asked for users' vectors first, such as a process that owns a GPU."""

    def users(self, histories: Histories) -> Float32s:
        """[B, K, dim]; only the vectors of items that occur are read."""
        if self.elsewhere is not None and (told := self.elsewhere(histories)) is not None:
            return told
        occurring, local = only_occurring(histories)
        return np.asarray(self.net.user_vectors(local, torch.from_numpy(self.vectors[occurring])).numpy())

    def logits(self, users: Float32s, items: NDArray[np.integer[Any]] | None = None) -> Float32s:
        """temperature · max over interests of the cosine, and the log prior: [B, V], or [B, n] for some `items`."""
        vectors = self.vectors if items is None else self.vectors[items]
        flat = users.reshape(-1, users.shape[-1]) @ vectors.T
        logits = np.float32(self.temperature) * (flat if users.shape[1] == 1 else _of_interests(flat, users.shape[1]))
        if self.prior is not None:
            logits += self.prior if items is None else self.prior[items]
        return logits

    def probabilities(self, users: Float32s) -> Float32s:
        """Exact p_net, [B, V]."""
        logits = self.logits(users)
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        return logits

    @cached_property
    def temperature(self) -> float:
        return float(self.net.temperatures.detach().mean())

    @cached_property
    def likeness(self) -> Likeness:
        return Likeness.of(self.vectors)


def only_occurring(histories: Histories) -> tuple[Int64s, Histories]:
    """The items that occur, ascending (one at least), and the same histories with places among them for items."""
    occurring, item = np.unique(histories.item, return_inverse=True)
    if not len(occurring):
        occurring = np.zeros(1, np.int32)
    return occurring.astype(np.int64), replace(histories, item=item.astype(np.int32), n_items=len(occurring))


def strongest_of(values: NDArray[Any], k: int) -> Int64s:
    """Indices of the k largest of `values` [n], unsorted."""
    if k >= len(values):
        return np.arange(len(values))
    return np.argpartition(values, len(values) - k)[len(values) - k :]


def item_vectors_of(net: InterestNet, graph: Any) -> Float32s:
    return np.ascontiguousarray(net.item_vectors(graph).cpu().numpy())


def _of_interests(flat: Float32s, interests: int) -> Float32s:
    best: Float32s = flat.reshape(-1, interests, flat.shape[1]).max(axis=1)
    return best
