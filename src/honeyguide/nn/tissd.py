"""TiSSD: a Mamba-2 block whose step sizes are multiplied by factors that come from time (Fan et al. 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.nn.blocks import Dropout, RMSNorm
from honeyguide.nn.causal import CausalConv
from honeyguide.nn.ssd import ssd


@dataclass(frozen=True)
class SSDShape:
    """Widths of a block.

    Parameters
    ----------
    dim, head, state
        Width d, width p of a head, size n of the state.
    kernel
        Positions that its convolutions see.
    expand
        Inner width, in multiples of ``dim``.
    """

    dim: int
    head: int
    state: int
    kernel: int = 4
    expand: int = 2

    @property
    def inner(self) -> int:
        """Width of what the recurrence reads."""
        return self.expand * self.dim

    @property
    def heads(self) -> int:
        """Number of heads h."""
        return self.inner // self.head


class BlockPast(NamedTuple):
    """What a block keeps of the past: the last inputs of its convolution, and the state ``[b, h, p, n]``."""

    inputs: Tensor
    state: Tensor


class TiSSD(nn.Module):
    """``[z, x, B, C, dt] = W x``; x, B, C convolved; dt multiplied by time; the recurrence; a gated norm; a way out.

    delta = softplus(dt T' + bias), a = exp(-exp(A_log) delta), y = SSD(x, a, B, C) + D x, out = W norm(y silu(z)).
    With ``factor=None`` (T' = 1) it is the block of Mamba-2. Activations are Hardswish, as in the authors' code.

    Parameters
    ----------
    shape
        Its widths.
    """

    def __init__(self, shape: SSDShape) -> None:
        super().__init__()
        self.shape = shape
        inner, heads, n = shape.inner, shape.heads, shape.state
        self.widths = [inner, inner + 2 * n, heads]
        self.project = nn.Linear(shape.dim, sum(self.widths), bias=False)
        self.conv = CausalConv(inner + 2 * n, shape.kernel)
        step = torch.empty(heads).uniform_(math.log(1e-3), math.log(0.1)).exp()
        self.step_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus of it is the step
        self.decay_log = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())  # A_log
        self.skip = nn.Parameter(torch.ones(heads))  # D
        for parameter in (self.step_bias, self.decay_log, self.skip):
            parameter.no_decay = True  # type: ignore[attr-defined]
        self.norm, self.out = RMSNorm(inner), nn.Linear(inner, shape.dim, bias=False)

    def forward(self, x: Tensor, factor: Tensor | None, past: BlockPast | None = None) -> tuple[Tensor, BlockPast]:
        """``[b, t, d]`` and T' ``[b, t, h]`` to ``[b, t, d]``, and what has to be kept."""
        inner, n = self.shape.inner, self.shape.state
        z, read, step = self.project(x).split(self.widths, -1)
        read, inputs = self.conv(read, None if past is None else past.inputs)
        values, b, c = torch.split(F.hardswish(read), [inner, n, n], -1)
        values = values.reshape(*values.shape[:2], self.shape.heads, -1)  # [b, t, h, p]
        delta = F.softplus((step if factor is None else step * factor) + self.step_bias)  # [b, t, h]
        log_a = -self.decay_log.exp() * delta
        y, state = ssd(delta[..., None] * values, log_a, b, c, None if past is None else past.state)
        y = (y + self.skip[:, None] * values).flatten(-2)
        return self.out(self.norm(y * F.silu(z))), BlockPast(inputs, state)


class TiSSDLayer(nn.Module):
    """The block, then a feed-forward layer of width 4d with Hardswish, each followed by a norm of the sum.

    Parameters
    ----------
    shape, dropout
        Of the block; dropout on each branch.
    residual
        Whether the block's input is added to its output: not in a network of one layer.
    """

    def __init__(self, shape: SSDShape, dropout: float, residual: bool) -> None:
        super().__init__()
        self.block, self.residual = TiSSD(shape), residual
        self.feed_in, self.feed_out = nn.Linear(shape.dim, 4 * shape.dim), nn.Linear(4 * shape.dim, shape.dim)
        self.norm_block, self.norm_feed = nn.LayerNorm(shape.dim), nn.LayerNorm(shape.dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, factor: Tensor | None, past: BlockPast | None = None) -> tuple[Tensor, BlockPast]:
        """As :meth:`TiSSD.forward`."""
        mixed, kept = self.block(x, factor, past)
        mixed = self.dropout(mixed)
        x = self.norm_block(mixed + x if self.residual else mixed)
        fed = self.dropout(self.feed_out(self.dropout(F.hardswish(self.feed_in(x)))))
        return self.norm_feed(x + fed), kept
