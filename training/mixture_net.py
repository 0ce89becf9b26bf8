"""The net as a source of the mixture: user vectors, and p_net(item) = softmax over the catalog of its logits.

    logit    temperature · cosine + log prior (prior.py)

The normaliser Z is exact up to `EXACT_ITEMS` items. Above, it is the sum over the items that are likeliest for the
user plus the sum over a fixed uniform sample of the others, scaled up to their number.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from graph.arrays import Float32s, Int32s, Int64s
from graph.histories import Histories
from training.likeness import Likeness
from training.model import InterestNet

EXACT_ITEMS = 200_000
NEAREST = 1_000
SAMPLE = 8_192

Nearest = Callable[[Float32s, int], NDArray[np.integer[Any]]]
"""(vectors [K, dim], k) -> indices of the items nearest to any of them: an index, or `NetSource.nearest`."""


@dataclass(frozen=True)
class NetSource:
    """`vectors` float32 [V, dim], unit length, as the net gave them for the revision's graph."""

    net: InterestNet
    vectors: Float32s
    prior: Float32s | None = None
    """float32 [V], added to the logits; None: nothing is likelier than anything else."""

    def users(self, histories: Histories) -> Float32s:
        """[B, K, dim]; only the vectors of items that occur are read."""
        occurring, item = np.unique(histories.item, return_inverse=True)
        if not len(occurring):
            occurring = np.zeros(1, np.int64)
        local = replace(histories, item=item.astype(np.int32), n_items=len(occurring))
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

    def likeliest(self, vectors: Float32s, nearest: Nearest) -> Int64s:
        """Ascending: the NEAREST items of one user [K, dim], and those likeliest before anything is known of the user,
        which no search by cosine would find and which may have most of p."""
        return np.unique(np.concatenate([nearest(vectors, NEAREST), self._popular]))

    def log_normaliser(self, users: Float32s, likeliest: NDArray[np.integer[Any]]) -> float:
        """log Z of one user [1, K, dim] from its `likeliest` items, all others estimated from the fixed sample."""
        n_items = len(self.vectors)
        near = self.logits(users, likeliest)[0]
        sample = np.setdiff1d(self._sample, likeliest, assume_unique=True)
        highest = float(near.max())
        total = np.exp(near - highest).sum(dtype=np.float64)
        if len(sample):
            others = np.exp(self.logits(users, sample)[0] - highest).sum(dtype=np.float64)
            total += others * (n_items - len(likeliest)) / len(sample)
        return highest + float(np.log(total))

    def nearest(self, vectors: Float32s, k: int) -> Int64s:
        """Exact search: the k items with the largest logits for a user's vectors [K, dim]."""
        logits = self.logits(vectors[None])[0]
        return strongest_of(logits, k)

    @cached_property
    def temperature(self) -> float:
        return float(self.net.temperatures.detach().mean())

    @cached_property
    def likeness(self) -> Likeness:
        return Likeness.of(self.vectors)

    @cached_property
    def _popular(self) -> Int64s:
        return strongest_of(self.prior, NEAREST) if self.prior is not None else np.zeros(0, np.int64)

    @cached_property
    def _sample(self) -> Int32s:
        n_items = len(self.vectors)
        chosen = np.random.default_rng(0).choice(n_items, size=min(SAMPLE, n_items), replace=False)
        return np.sort(chosen).astype(np.int32)


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
