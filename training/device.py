"""Where tensors live and in which precision: CUDA with bfloat16 when there, else the CPU in plain float32."""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from graph.storage.errors import BadInputError


def choose_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA when a usable card is there. Raises BadInputError for a device this machine lacks."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise BadInputError(f"unknown device {name!r}", hint="Choose auto, cpu or cuda.", field="device")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInputError(
            "no CUDA device here", hint="Choose --device cpu, or auto to let penchant choose.", field="device"
        )
    return torch.device(name)


def mixed_precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 needs no loss scaling (it has float32's exponent); on a CPU float32 keeps runs equal bit by bit."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


@contextmanager
def reused_memory() -> Iterator[None]:
    """Lets glibc keep what tensors free, instead of giving it back to the system and faulting it in again each step.

    A training step allocates and frees the same few hundred megabytes; keeping them saves a third of its time on a CPU.
    Holds for the process until the end of the block, which gives all back. Other systems' allocators do so anyhow.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc is None or not hasattr(libc, "mallopt"):
        yield
        return
    trim_threshold, top_pad, mmap_max, arena_max = -1, -2, -4, -8  # malloc.h
    libc.mallopt(arena_max, 1)  # the backward pass runs in a thread of its own, which would keep as much again
    libc.malloc_trim(0)  # what building the graph left behind goes back first, or it would be kept as well
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)
    libc.mallopt(top_pad, 64 * 2**20)
    try:
        yield
    finally:
        libc.mallopt(arena_max, 0)
        libc.mallopt(mmap_max, 65_536)
        libc.mallopt(trim_threshold, 128 * 2**10)
        libc.mallopt(top_pad, 0)
        libc.malloc_trim(0)
