"""What is known of an item from several sides (text, picture, categories, an id) as one vector.

All three forms start as the sum of the parts, so that what training makes of them is seen against it; a part that
an item lacks takes no share. Shapes: n items, m parts, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

FusionName = Literal["sum", "gate", "attention"]


class Sum(nn.Module):
    """``x = sum_m z_m``, the parts added in order."""

    def forward(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """``[n, d]`` of parts ``[n, d]`` each, zero where they are not ``present`` (bool ``[n]`` each)."""
        fused = parts[0]
        for part in parts[1:]:
            fused = fused + part
        return fused


class Gate(nn.Module):
    """A gate for every part and coordinate (gated multimodal units, Arevalo et al. 2017, arXiv:1702.01992).

    ``g_m = 2 sigmoid(W_m [z_1; ...; z_M; present] + b_m)``, ``x = sum_m g_m * z_m``. Unlike there, parts pass no
    tanh and gates do not sum to one: with W and b at zero this is the sum. Gates see which parts there are.

    Parameters
    ----------
    parts, dim
        How many, and their width.
    """

    def __init__(self, parts: int, dim: int) -> None:
        super().__init__()
        self.gates = nn.Linear(parts * dim + parts, parts * dim)
        nn.init.zeros_(self.gates.weight)
        nn.init.zeros_(self.gates.bias)

    def forward(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """As :meth:`Sum.forward`."""
        flat = torch.cat([*parts, torch.stack([there.to(parts[0].dtype) for there in present], -1)], -1)
        opened = 2 * torch.sigmoid(self.gates(flat)).view(len(flat), len(parts), -1)  # [n, m, d]
        return (opened * torch.stack(list(parts), 1)).sum(1)


class Attention(nn.Module):
    """One weight for every part, of those that are there (Bahdanau et al. 2015, additive attention).

    ``a = softmax_m(q' tanh(W z_m + b_m))``, ``x = M' sum_m a_m z_m`` with M' the number of parts that are there; with
    q at zero this is the sum. b tells the parts apart.

    Parameters
    ----------
    parts, dim
        How many, and their width.
    """

    def __init__(self, parts: int, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim, bias=False)
        self.kinds = nn.Parameter(torch.randn(parts, dim) * 0.1)  # b; different, or no gradient would tell parts apart
        self.query = nn.Parameter(torch.zeros(dim))

    def forward(self, parts: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
        """As :meth:`Sum.forward`."""
        z, there = torch.stack(list(parts), 1), torch.stack(list(present), 1)  # [n, m, d], [n, m]
        return _count(there) * (self.shares(z, there)[:, :, None] * z).sum(1)

    def shares(self, z: Tensor, there: Tensor) -> Tensor:
        """``[n, m]``: what each part counts; rows sum to one, or to zero where nothing is there."""
        logits = torch.tanh(self.project(z) + self.kinds) @ self.query  # [n, m]
        held = logits.masked_fill(~there, -torch.inf)
        return torch.softmax(held.masked_fill(~there.any(1, keepdim=True), 0.0), 1) * there


def _count(there: Tensor) -> Tensor:
    """``[n, 1]``: how many parts each item has."""
    return there.sum(1, keepdim=True).float()


def fusion(name: FusionName, parts: int, dim: int) -> nn.Module:
    """The form called ``name``; a sum learns nothing.

    Parameters
    ----------
    name
        ``"sum"``, ``"gate"`` or ``"attention"``.
    parts, dim
        How many parts, and their width.
    """
    return Sum() if name == "sum" else Gate(parts, dim) if name == "gate" else Attention(parts, dim)
