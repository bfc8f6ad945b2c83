"""Transformer parts for sequences of items. Shapes: b rows, t positions, d width, h heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014) that draws one random byte per number.

    On a CPU the masks of ``torch.nn.Dropout`` cost more than the matrix products of a narrow
    network; bytes cost a fifth. The rate is therefore rounded to a multiple of 1/256.

    Parameters
    ----------
    rate
        Share of numbers set to zero while training.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.threshold = round(256 * rate)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as ``x``."""
        if not self.training or self.threshold == 0:
            return x
        words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
        words.random_(-(2**63), None)  # every bit is random
        noise = words.view(torch.uint8)[: x.numel()].view(x.shape)
        keep = (noise >= self.threshold).to(x.dtype)
        return x * keep.mul_(256 / (256 - self.threshold))


class EventDropout(nn.Module):
    """Hides whole events of a history while training, so that states do not lean on the last one alone.

    Parameters
    ----------
    rate
        Share of positions whose vector is set to zero; the others stay as they are.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """``[b, t, d]`` to ``[b, t, d]``."""
        if not self.training or self.rate == 0:
            return x
        return x * (torch.rand(x.shape[:2], device=x.device) >= self.rate).to(x.dtype)[..., None]


class RMSNorm(nn.Module):
    """x / rms(x) * gain (Zhang & Sennrich 2019)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """``[..., d]`` to ``[..., d]``."""
        return F.rms_norm(x, self.gain.shape, self.gain, eps=1e-6)


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021): queries and keys are turned by an angle that grows with position.

    Parameters
    ----------
    head_dim
        Width of a head, even.
    length
        Longest sequence.
    base
        Wavelengths run from 2 pi to 2 pi * base positions.
    """

    turn: Tensor

    def __init__(self, head_dim: int, length: int, base: float = 10_000.0) -> None:
        super().__init__()
        frequency = base ** (-torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim)  # [head_dim / 2]
        angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
        turn = torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
        self.register_buffer("turn", turn[:, None], persistent=False)  # [length, 1, head_dim / 2]

    def forward(self, x: Tensor) -> Tensor:
        """``[b, t, h, d / h]``, positions counted from 0, to the same shape."""
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))  # [b, t, h, d / h / 2]
        return torch.view_as_real(pairs * self.turn[: x.shape[1]]).flatten(-2).to(x.dtype)


def causal_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d / h)) v over the positions not after each; all ``[b, t, h, d / h]``."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)


def two_sided_attention(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    """softmax(q k' / sqrt(d / h)) v over the positions that are ``seen``, bool ``[b, t]``; all ``[b, t, h, d / h]``."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen[:, None, None]).transpose(1, 2)


class LiGRBlock(nn.Module):
    """Pre-norm block with a learnt gate on each residual branch (LiGR, Borisyuk et al. 2024).

    x = x + sigmoid(W1 n(x)) * Attention(n(x));  x = x + sigmoid(W2 n(x)) * SwiGLU(n(x)), where n is
    RMSNorm and SwiGLU(y) = W5 (silu(W3 y) * W4 y) (Shazeer 2020). The projections that read the
    same input are one matrix product.

    Parameters
    ----------
    dim, heads
        Width and number of heads.
    dropout
        On each branch.
    rotary
        Positions of queries and keys, or ``None``.
    expansion
        Width of the feed-forward layer, in multiples of ``dim``.
    """

    def __init__(self, dim: int, heads: int, dropout: float, rotary: Rotary | None, expansion: int = 2) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.norm_attention, self.norm_feed = RMSNorm(dim), RMSNorm(dim)
        self.attention_in = nn.Linear(dim, 4 * dim, bias=False)  # query, key, value, gate
        self.attention_out = nn.Linear(dim, dim, bias=False)
        self.feed_in = nn.Linear(dim, (2 * expansion + 1) * dim, bias=False)  # up, switch, gate
        self.feed_out = nn.Linear(expansion * dim, dim, bias=False)
        self.dropout = Dropout(dropout)
        self.widths = [expansion * dim, expansion * dim, dim]

    def forward(self, x: Tensor, seen: Tensor | None = None) -> Tensor:
        """``[b, t, d]`` to the same shape, from what is not after each position, or from all that is ``seen``."""
        q, k, v, gate = self.attention_in(self.norm_attention(x)).chunk(4, -1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (q, k, v))  # [b, t, h, d / h]
        if self.rotary is not None:
            q, k = self.rotary(q), self.rotary(k)
        mixed = causal_attention(q, k, v) if seen is None else two_sided_attention(q, k, v, seen)
        x = x + self.dropout(torch.sigmoid(gate) * self.attention_out(mixed.flatten(-2)))
        up, switch, gate = self.feed_in(self.norm_feed(x)).split(self.widths, -1)
        fed: Tensor = self.dropout(torch.sigmoid(gate) * self.feed_out(F.silu(switch) * up))
        return x + fed


class SASRecBlock(nn.Module):
    """The block of SASRec (Kang & McAuley 2018): queries normalised, keys and values not; ReLU feed-forward of width d.

    Parameters
    ----------
    dim, heads, dropout, rotary
        As in :class:`LiGRBlock`.
    """

    def __init__(self, dim: int, heads: int, dropout: float, rotary: Rotary | None) -> None:
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.norm_query, self.norm_feed = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim)
        self.attention_out = nn.Linear(dim, dim)
        self.feed_in, self.feed_out = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[b, t, d]`` to ``[b, t, d]``."""
        normed = self.norm_query(x)
        q, (k, v) = self.query(normed), self.key_value(x).chunk(2, -1)
        q, k, v = (y.unflatten(-1, (self.heads, -1)) for y in (q, k, v))  # [b, t, h, d / h]
        if self.rotary is not None:
            q, k = self.rotary(q), self.rotary(k)
        x = self.norm_feed(normed + self.attention_out(causal_attention(q, k, v).flatten(-2)))
        fed: Tensor = self.dropout(self.feed_out(self.dropout(F.relu(self.feed_in(x)))))
        return x + fed


class HSTUBlock(nn.Module):
    """Hierarchical sequential transduction unit (Zhai et al. 2024, equations 1 to 3): attention without a softmax.

    U, V, Q, K = silu(W1 n(x));  A = silu(Q K' + r) / N;  x = x + W2 (U * n(A V)), where n is LayerNorm,
    r is learnt for every distance between two events and N is the number of events attended to.
    A sum of weights that are not forced to add up to one can tell how much there was; U takes the
    place of a feed-forward layer.

    Parameters
    ----------
    dim, heads, dropout
        As in :class:`LiGRBlock`.
    length
        Longest sequence.
    """

    def __init__(self, dim: int, heads: int, dropout: float, length: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_in, self.norm_mixed = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.project, self.out = nn.Linear(dim, 4 * dim), nn.Linear(dim, dim)
        self.bias = nn.Parameter(torch.randn(heads, length) * 0.02)  # r by distance
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """``[b, t, d]`` to ``[b, t, d]``."""
        u, v, q, k = F.silu(self.project(self.norm_in(x))).chunk(4, -1)
        v, q, k = (y.view(*y.shape[:2], self.heads, -1).transpose(1, 2) for y in (v, q, k))  # [b, h, t, d / h]
        step = torch.arange(x.shape[1], device=x.device)
        distance = step[:, None] - step  # [t, t], negative where an event is still to come
        weights = F.silu(q @ k.mT + self.bias[:, distance.clamp_min(0)]) / (step[:, None] + 1)  # [b, h, t, t]
        mixed = (weights * (distance >= 0)) @ v
        gated: Tensor = self.out(self.dropout(u * self.norm_mixed(mixed.transpose(1, 2).flatten(-2))))
        return x + gated


def init_weights(module: nn.Module, std: float) -> None:
    """Normal weights, zero biases.

    With ``std`` well below 1 / sqrt(d) the branches start weak against the residual stream, so
    that a state starts near the vector of its own item, which is learnt from sooner.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
