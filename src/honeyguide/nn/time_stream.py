"""The time stream of TiM4Rec: gaps between events become factors on the step sizes of a state-space block.

Two forms with one interface. :class:`CausalTime` reads no gap that is still to come and can be fed event by event.
:class:`ReleasedTime` is what the authors released: it mixes all positions of a padded sequence, later gaps and padding
included. Shapes: b rows, t positions, h heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from honeyguide.nn.blocks import Dropout
from honeyguide.nn.causal import CausalConv, RunningNorm

MICROSECONDS = 1e6
MIXED = 8  # gaps that the causal stand-ins of layers across positions look back on
_ONE = (33**0.5 - 3) / 2  # hardswish(x) = x (x + 3) / 6 is 1 here
Past = tuple[Tensor | None, ...]


def log_gaps(times: Tensor, before: Tensor | None = None) -> Tensor:
    """log(1 + seconds since the event before), float32 ``[b, t]``, of times in microseconds, int64 ``[b, t]``.

    Parameters
    ----------
    before
        int64 ``[b, 1]``, the time of the event before the first; its gap is 0 where ``None``.
    """
    gaps = times.diff(dim=1, prepend=times[:, :1] if before is None else before)
    return (gaps.clamp_min(0).double() / MICROSECONDS).log1p().float()  # below 0 is only the padding


class CausalGaps(nn.Module):
    """Gaps, measured against the population's at first and against the user's own rhythm as it becomes known.

    Parameters
    ----------
    heads
        Number of heads h, which all start from the same stream.
    mean, std
        Of the logarithms of the population's gaps.
    prior, dropout
        See :class:`~honeyguide.nn.causal.RunningNorm`, and share of gaps that are left out while training.
    """

    def __init__(self, heads: int, mean: float, std: float, prior: float, dropout: float) -> None:
        super().__init__()
        self.heads, self.mean, self.std = heads, mean, std
        self.norm, self.dropout = RunningNorm(1, prior), Dropout(dropout)

    def forward(self, times: Tensor, past: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """int64 ``[b, t]`` to T ``[b, t, h]``, and what has to be kept. A first event has the population's mean gap."""
        before, sums = past if past is not None else (None, None)
        gaps = (log_gaps(times, before) - self.mean) / self.std  # [b, t]
        if past is None:
            gaps = torch.cat([torch.zeros_like(gaps[:, :1]), gaps[:, 1:]], 1)
        normed, sums = self.norm(self.dropout(gaps[..., None]), sums)
        return normed.expand(-1, -1, self.heads), (times[:, -1:], sums)


class CausalTime(nn.Module):
    """One layer of the time stream: from T to factors T' on the steps, and to the next layer's T.

    m = C2(silu(C1(T)));  T' = act(C4(act(C3(T * m))));  g = sigmoid(C5(T));  T = norm(g T + (1 - g) T'), where act is
    Hardswish, norm is over the past and every C is a causal convolution by head: C1, C2 and C5 over ``MIXED`` positions
    in the place of the released layers across all positions. At the start T' is near 1: the block
    without time.

    Parameters
    ----------
    heads, kernel
        Number of heads, and of positions that C3 and C4 see.
    prior
        See :class:`~honeyguide.nn.causal.RunningNorm`.
    """

    def __init__(self, heads: int, kernel: int, prior: float) -> None:
        super().__init__()
        self.mix = nn.ModuleList(CausalConv(heads, MIXED) for _ in range(2))
        self.conv = nn.ModuleList(CausalConv(heads, kernel) for _ in range(2))
        self.gate = CausalConv(heads, MIXED)
        self.norm = RunningNorm(heads, prior)
        nn.init.zeros_(self.gate.bias)
        nn.init.constant_(self.conv[1].bias, _ONE)  # type: ignore[arg-type]

    def forward(self, stream: Tensor, past: Past | None = None) -> tuple[Tensor, Tensor, Past]:
        """T ``[b, t, h]`` to T', the next T, and what has to be kept."""
        p1, p2, p3, p4, p5, sums = past if past is not None else (None,) * 6
        mixed, p1 = self.mix[0](stream, p1)
        mixed, p2 = self.mix[1](F.silu(mixed), p2)
        factor, p3 = self.conv[0](stream * mixed, p3)
        factor, p4 = self.conv[1](F.hardswish(factor), p4)
        factor = F.hardswish(factor)
        gate, p5 = self.gate(stream, p5)
        gate = torch.sigmoid(gate)
        stream, sums = self.norm(gate * stream + (1 - gate) * factor, sums)
        return factor, stream, (p1, p2, p3, p4, p5, sums)


class ReleasedGaps(nn.Module):
    """Gaps as released: raw seconds, padded slots included, normalised across the positions of the padded sequence.

    Times are padded with 0, so that the first padded slot has the gap 0 - (time of the last event), by orders of
    magnitude the largest; what is left of the true gaps after the norm is next to nothing.

    Parameters
    ----------
    heads, length
        Number of heads, and of positions of a padded sequence; a shorter one uses the first weights.
    dropout
        Share of the gaps that are left out while training.
    """

    def __init__(self, heads: int, length: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.dropout = AcrossNorm(length), Dropout(dropout)

    def forward(self, times: Tensor) -> Tensor:
        """int64 ``[b, t]``, 0 where padded, to T ``[b, t, h]``."""
        gaps = times.diff(dim=1, prepend=times[:, :1]).double() / MICROSECONDS
        normed: Tensor = self.norm(self.dropout(gaps.float())[:, None])  # [b, 1, t]
        return normed.mT.expand(-1, -1, self.heads)


class AcrossNorm(nn.Module):
    """A layer norm across the positions, the last dimension of at most ``length``."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(length)), nn.Parameter(torch.zeros(length))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., t]`` to the same shape."""
        t = x.shape[-1]
        return F.layer_norm(x, (t,), self.gain[:t], self.shift[:t])


class ReleasedTime(nn.Module):
    """One layer of the time stream as released; m = W2 silu(W1 T) and the norm go across all positions.

    Parameters
    ----------
    heads, kernel
        Number of heads, and of positions that the convolutions see.
    length
        Positions of a padded sequence.
    """

    def __init__(self, heads: int, kernel: int, length: int) -> None:
        super().__init__()
        self.mix = nn.ModuleList(nn.Linear(length, length) for _ in range(2))
        self.conv = nn.ModuleList(CausalConv(heads, kernel) for _ in range(2))
        self.gate = nn.Linear(length, 1)
        self.norm = AcrossNorm(length)

    def forward(self, stream: Tensor) -> tuple[Tensor, Tensor]:
        """T ``[b, t, h]`` to T' and the next T."""
        across, t = stream.mT, stream.shape[1]  # [b, h, t]
        first, second = ((layer.weight[:t, :t], layer.bias[:t]) for layer in self.mix)  # type: ignore[index]
        mixed = F.linear(F.silu(F.linear(across, *first)), *second)
        factor = F.hardswish(self.conv[0](stream * mixed.mT)[0])
        factor = F.hardswish(self.conv[1](factor)[0])
        gate = torch.sigmoid(F.linear(across, self.gate.weight[:, :t], self.gate.bias))  # [b, h, 1]
        return factor, self.norm(gate * across + (1 - gate) * factor.mT).mT
