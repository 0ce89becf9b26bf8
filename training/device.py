"""Where tensors live and in which precision: CUDA with bfloat16 when there, else the CPU in plain float32."""

from contextlib import AbstractContextManager

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
