"""From a user's steps to a state after each step, by name: transformer, gru, lstm, cnn, mean.

All are causal: the output at step t depends on the inputs of steps ≤ t alone. Padding stands behind the steps, where a
causal encoder never looks, so no masks are needed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.config import NetConfig


def make_sequence_encoder(config: NetConfig) -> "SequenceEncoder":
    """A module `[batch, steps, dim] -> [batch, steps, dim]`."""
    blocks: dict[str, type[nn.Module]] = {
        "transformer": TransformerBlock,
        "gru": RecurrentBlock,
        "lstm": RecurrentBlock,
        "cnn": ConvolutionBlock,
        "mean": MeanBlock,
    }
    block = blocks[config.sequence_encoder]
    return SequenceEncoder([block(config) for _ in range(config.blocks)], config)


class SequenceEncoder(nn.Sequential):
    """Blocks one after the other, a share of the mean of all steps for each dimension, LayerNorm.

    A block starts from the step before it: what the user did last. The mean is the way by which what was always liked
    gets through, before a block has learned to carry it (long-term beside short-term interest, as in SLi-Rec, Yu et
    al., 2019).
    """

    def __init__(self, blocks: list[nn.Module], config: NetConfig) -> None:
        super().__init__(*blocks, nn.LayerNorm(config.dim))
        self.long_term = nn.Parameter(torch.ones(config.dim)) if config.long_term else None

    def forward(self, x: Tensor) -> Tensor:
        *blocks, norm = self
        state = x
        for block in blocks:
            state = block(state)
        if self.long_term is not None:
            state = state + self.long_term * mean_so_far(x)
        out: Tensor = norm(state)
        return out

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        """`[batch, dim]`: the state after step `at` [batch] of each sequence alone, which is all that serving wants."""
        *blocks, final, norm = self
        before = x
        for block in blocks:
            before = block(before)
        state = final.last(before, at) if isinstance(final, TransformerBlock) else _at(final(before), at)
        if self.long_term is not None:
            steps = torch.arange(x.shape[1], device=x.device) <= at.unsqueeze(1)
            mean = torch.bmm(steps.unsqueeze(1).to(x.dtype), x).squeeze(1) / (at + 1).unsqueeze(1)
            state = state + self.long_term * mean
        out: Tensor = norm(state)
        return out


class TransformerBlock(nn.Module):
    """Causal self-attention and a feed-forward layer, normalised before each (Xiong et al., 2020)."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_attention, self.norm_forward = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.query_key_value = nn.Linear(config.dim, 3 * config.dim)
        self.out = nn.Linear(config.dim, config.dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(config.dim, 2 * config.dim),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(2 * config.dim, config.dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._drop(self._attend(self.norm_attention(x)))
        return x + self._drop(self.feed_forward(self.norm_forward(x)))

    def _attend(self, x: Tensor) -> Tensor:
        q, k, v = self.query_key_value(x).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        heads = functional.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=True)
        out: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return out

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)

    def last(self, x: Tensor, at: Tensor) -> Tensor:
        """`[batch, dim]`: `forward(x)` at step `at` of each sequence. Only keys and values are needed of the others."""
        rows, width, dim = x.shape
        normed, weight, bias = self.norm_attention(x), self.query_key_value.weight, self.query_key_value.bias
        query = functional.linear(_at(normed, at), weight[:dim], bias[:dim])
        keys_values = functional.linear(normed, weight[dim:], bias[dim:])
        k, v = keys_values.view(rows, width, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = (torch.arange(width, device=x.device) <= at.unsqueeze(1)).view(rows, 1, 1, width)
        heads = functional.scaled_dot_product_attention(query.view(rows, self.heads, 1, -1), k, v, attn_mask=seen)
        state = _at(x, at) + self._drop(self.out(heads.flatten(1)))
        out: Tensor = state + self._drop(self.feed_forward(self.norm_forward(state)))
        return out


class RecurrentBlock(nn.Module):
    """GRU4Rec's or an LSTM's layer, with a residual path."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        layer = nn.GRU if config.sequence_encoder == "gru" else nn.LSTM
        self.layer = layer(config.dim, config.dim, batch_first=True)
        self.norm, self.dropout = nn.LayerNorm(config.dim), nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.layer(self.norm(x))
        out: Tensor = x + self.dropout(states)
        return out


class ConvolutionBlock(nn.Module):
    """Two causal convolutions, the second dilated (after NextItNet, Yuan et al., 2019), with a residual path."""

    WIDTH = 3

    def __init__(self, config: NetConfig) -> None:
        super().__init__()
        self.near = nn.Conv1d(config.dim, config.dim, self.WIDTH)
        self.far = nn.Conv1d(config.dim, config.dim, self.WIDTH, dilation=self.WIDTH)
        self.norm, self.dropout = nn.LayerNorm(config.dim), nn.Dropout(config.dropout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x).transpose(1, 2)
        y = functional.gelu(self.near(functional.pad(y, (self.WIDTH - 1, 0))))
        y = self.far(functional.pad(y, (self.WIDTH * (self.WIDTH - 1), 0)))
        out: Tensor = x + self.dropout(y.transpose(1, 2))
        return out


class MeanBlock(nn.Module):
    """The mean of the steps so far, order ignored: what a sequence encoder has to beat."""

    def __init__(self, config: NetConfig) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return mean_so_far(x)


def mean_so_far(x: Tensor) -> Tensor:
    """`[batch, steps, dim]`: of each step and those before it."""
    return x.cumsum(dim=1) / torch.arange(1, x.shape[1] + 1, device=x.device).unsqueeze(1)


def _at(x: Tensor, at: Tensor) -> Tensor:
    """`[batch, dim]`: x `[batch, steps, dim]` at step `at` [batch] of each."""
    return x[torch.arange(len(x), device=x.device), at]
