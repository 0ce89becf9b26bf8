"""Histories to padded batches of steps, column-wise: a loop runs over batches, never over users or events.

A step is what a user did at one instant: one event, or a basket. A sequence is [start, step, step, …]; its position t
has seen the steps before the t-th, and is to name the items of the t-th. So nothing inside a basket can be read off
its neighbours, and a user without any event stands at the start.

Long histories are cut into windows of `max_history` steps, from the newest on, so that every event is a target once.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from torch import Tensor

from graph.arrays import Int64s
from graph.histories import Histories
from graph.storage.times import SECOND_US

GAP_BUCKETS = 34
"""0: no step before; 1: less than a second; 2 + k: [2^k, 2^(k + 1)) seconds, up to centuries."""


@dataclass(frozen=True)
class Batch:
    """B sequences of T positions, flattened: position (row, t) is number row · T + t.

    Shapes: `event_*` [E], one entry per event read; `gap` [B, T]; `last` [B], the position that has seen everything;
    `query`, `target` [P], the training pairs (position, item of the step after it), empty when serving.
    """

    event_item: Tensor
    event_kind: Tensor
    event_position: Tensor
    gap: Tensor
    last: Tensor
    query: Tensor
    target: Tensor

    def to(self, device: torch.device) -> Self:
        return type(self)(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True)
class Windows:
    """W pieces of histories: `first` and `steps` [W] say which steps, the rest describes all S steps of all users."""

    first: Int64s
    steps: Int64s
    starts_user: Int64s
    events: Int64s  # [S + 1] step s is events[s]:events[s + 1]
    gap: Int64s  # [S] bucket of the time since the user's step before
    histories: Histories

    def __len__(self) -> int:
        return len(self.first)


def training_windows(histories: Histories, max_history: int) -> Windows:
    """All steps of all users in pieces of at most `max_history` steps; users without events have none."""
    user_steps, events, gap = _steps(histories)
    pieces = -(-user_steps // max_history)
    user = np.repeat(np.arange(len(pieces)), pieces)
    from_end = np.arange(len(user)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    stop = np.cumsum(user_steps)[user] - from_end * max_history
    begin = np.cumsum(user_steps)[user] - user_steps[user]
    first = np.maximum(stop - max_history, begin)
    return Windows(first, stop - first, (first == begin).astype(np.int64), events, gap, histories)


def newest_windows(histories: Histories, max_history: int) -> Windows:
    """One window a user, in the order of the rows: the newest `max_history` steps (none for an empty history)."""
    user_steps, events, gap = _steps(histories)
    steps = np.minimum(user_steps, max_history)
    first = np.cumsum(user_steps) - steps
    return Windows(first, steps, (steps == user_steps).astype(np.int64), events, gap, histories)


def bucketed(steps: Int64s, positions: int, order: np.random.Generator | None = None) -> list[Int64s]:
    """Windows of like length together, at most `positions` padded positions a batch; each batch is an array of indices.

    With `order`, windows of one length and the batches themselves come in a random order drawn from it.
    """
    tie = order.permutation(len(steps)) if order else np.arange(len(steps))
    ranked = np.lexsort((tie, -steps))
    batches, begin = [], 0
    while begin < len(ranked):
        size = max(1, positions // (int(steps[ranked[begin]]) + 1))
        batches.append(ranked[begin : begin + size])
        begin += size
    return [batches[i] for i in order.permutation(len(batches))] if order else batches


def training_batches(windows: Windows, positions: int, seed: int, epoch: int, skip: int = 0) -> Iterator[Batch]:
    """The batches of an epoch in an order given by (seed, epoch), so that a resumed run can `skip` what it has seen."""
    for rows in bucketed(windows.steps, positions, np.random.default_rng((seed, epoch)))[skip:]:
        yield make_batch(windows, rows, training=True)


def make_batch(windows: Windows, rows: Int64s, *, training: bool) -> Batch:
    """The windows `rows` as a Batch. Training reads all steps but the last, which is a target only."""
    steps = windows.steps[rows]
    width = int(steps.max(initial=0)) + (0 if training else 1)
    row, place = _ranges(steps)  # one entry per step of the batch: its window, its place there
    step = windows.first[rows][row] + place
    event_step, place_in_step = _ranges(np.diff(windows.events)[step])
    event = windows.events[step][event_step] + place_in_step
    position = row * width + place  # what stands just before the step
    read = np.ones(len(step), bool) if not training else place + 1 < steps[row]
    item = windows.histories.item[event].astype(np.int64)
    gap = np.zeros(len(rows) * width, np.int64)
    gap[position[read] + 1] = windows.gap[step[read]]
    # A window from the middle of a history has no position that may guess its first step: the start knows nothing.
    paired = (training & ((place > 0) | (windows.starts_user[rows][row] == 1)))[event_step]
    seen = read[event_step]
    return Batch(
        event_item=torch.from_numpy(item[seen]),
        event_kind=torch.from_numpy(windows.histories.kind[event[seen]].astype(np.int64)),
        event_position=torch.from_numpy((position + 1)[event_step][seen]),
        gap=torch.from_numpy(gap.reshape(len(rows), width)),
        last=torch.from_numpy(np.arange(len(rows)) * width + steps - (1 if training else 0)),
        query=torch.from_numpy(position[event_step][paired]),
        target=torch.from_numpy(item[paired]),
    )


def _steps(histories: Histories) -> tuple[Int64s, Int64s, Int64s]:
    """Steps per user [U], first event of each step and the end [S + 1], gap bucket of each step [S]."""
    row, n = histories.row_of, len(histories.item)
    new = np.ones(n, bool)
    new[1:] = (row[1:] != row[:-1]) | (histories.step[1:] != histories.step[:-1])
    first = np.flatnonzero(new)
    user, when = row[first], histories.occurred_at[first]
    gap = np.zeros(len(first), np.int64)
    if len(first) > 1:
        seconds = np.maximum(when[1:] - when[:-1], 0) / SECOND_US
        bucket = np.where(seconds < 1, 1, 2 + np.log2(np.maximum(seconds, 1)).astype(np.int64))
        gap[1:] = np.where(user[1:] == user[:-1], np.minimum(bucket, GAP_BUCKETS - 1), 0)
    return np.bincount(user, minlength=len(histories)), np.append(first, n), gap


def _ranges(lengths: Int64s) -> tuple[Int64s, Int64s]:
    """For lengths (2, 0, 3): the owner (0, 0, 2, 2, 2) and the place within it (0, 1, 0, 1, 2)."""
    owner = np.repeat(np.arange(len(lengths)), lengths)
    return owner, np.arange(len(owner)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
