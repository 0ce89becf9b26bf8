"""Rows of unit length, in a quarter of the passes over memory that PyTorch's own `normalize` and its backward take.

The items' vectors are the largest thing in a training step, and a step is as fast as memory is read.
"""

from typing import Any

import torch
from torch import Tensor

_LEAST = 1e-12


class _Unit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Tensor | None) -> Tensor:
        centered = x if share is None else x - share @ x
        scale = torch.linalg.vector_norm(centered, dim=-1, keepdim=True).clamp_(min=_LEAST).reciprocal_()
        if share is not None:  # what is 0 says nothing, and is no more unlike the mean than like it
            scale = scale.masked_fill_(~x.any(dim=-1, keepdim=True), 0)
        unit = x * scale if share is None else centered.mul_(scale)
        ctx.save_for_backward(unit, scale, share)
        return unit

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient,), (unit, scale, share) = gradients, ctx.saved_tensors
        along = torch.einsum("...d,...d->...", gradient, unit).unsqueeze(-1)
        turned = torch.addcmul(gradient, unit, along, value=-1).mul_(scale)
        return turned if share is None else turned.addr_(share, turned.sum(dim=0), alpha=-1), None


def unit(x: Tensor, share: Tensor | None = None) -> Tensor:
    """`[…, dim]` of unit length, 0 where x is 0; in float32, whatever the precision around it.

    share: `[n]`, what each row of x `[n, dim]` weighs in the mean that is first taken off all; None: nothing is.
    """
    with torch.autocast(x.device.type, enabled=False):
        rows: Tensor = _Unit.apply(x.float(), share)  # type: ignore[no-untyped-call]  # torch has no types there
    return rows
