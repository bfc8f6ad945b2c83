"""BERT4Rec: attention to both sides, trained to fill gaps, asked to fill the one at the end (Sun et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from honeyguide.core.space import Real, Space, Whole
from honeyguide.models.sequence.next_item import NextItemModel, NextItemNetwork, target_forward
from honeyguide.models.sequence.next_item_config import Auto, Cost, NextItemConfig
from honeyguide.nn.batches import IGNORED, Batch
from honeyguide.nn.blocks import Dropout, EventDropout, LiGRBlock, RMSNorm, init_weights
from honeyguide.nn.forward import Forward, rows_of


class BERT4RecConfig(NextItemConfig):
    """Options of :class:`BERT4Rec`, beside those of ``NextItemConfig``.

    Parameters
    ----------
    blocks, heads
        Number of blocks and of attention heads in each.
    mask
        Share of the events of a window that are masked and predicted.
    last
        Share of the windows in which the last event alone is masked: what serving asks for.
    """

    blocks: int | Auto = "auto"
    heads: int | Auto = "auto"
    mask: float | Auto = "auto"
    last: float = Field(0.5, ge=0, le=1)
    epochs: int = Field(200, ge=1)
    patience: int = Field(8, ge=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.dim != "auto" and self.heads != "auto" and self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of the heads ({self.heads})")
        if self.mask != "auto" and not 0 < self.mask <= 1:
            raise ValueError(f"mask ({self.mask}) must be above 0 and at most 1")
        return self

    def rules(self, long: bool) -> dict[str, Any]:
        """As many events are masked as in the paper; none are hidden besides."""
        shared = super().rules(long)
        dim = shared["dim"] if self.dim == "auto" else self.dim
        heads = 2 if dim % 2 == 0 else 1
        return {**shared, "blocks": 2, "heads": heads, "mask": 0.2 if long else 0.6, "event_dropout": 0.0}

    def cost(self) -> Cost:
        """Of the blocks and positions; a loss stands at the masked positions only."""
        c: Any = self
        return Cost(
            weights=(c.max_len + 2) * c.dim + 14 * c.blocks * c.dim**2,
            activations=40 * c.blocks * max(c.dim, c.max_len * c.heads / 8),
            flops=90 * c.blocks * c.dim * (c.dim + c.max_len / 3),
            targets=c.mask,
        )


class BERT4RecNetwork(NextItemNetwork):
    """The network; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    """

    def __init__(self, n_items: int, config: BERT4RecConfig) -> None:
        c: Any = config  # every "auto" is resolved
        super().__init__(n_items, c.dim, c.init_std)
        self.gap = nn.Parameter(torch.randn(c.dim) * c.init_std)  # what stands in for a masked event
        self.positions = nn.Parameter(torch.randn(c.max_len + 1, c.dim) * c.init_std)
        self.blocks = nn.ModuleList(LiGRBlock(c.dim, c.heads, c.dropout, None) for _ in range(c.blocks))
        init_weights(self.blocks, c.init_std)
        self.norm = RMSNorm(c.dim)
        self.dropout, self.hide = Dropout(c.dropout), EventDropout(c.event_dropout)

    def fill(self, items: Tensor, gaps: Tensor, real: Tensor) -> Tensor:
        """States ``[b, t, d]`` of events ``items`` where ``gaps`` are masked and only ``real`` positions are seen.

        Parameters
        ----------
        items
            int64 ``[b, t]``; any item where masked or not real.
        gaps, real
            bool ``[b, t]``.
        """
        x = torch.where(gaps[..., None], self.gap, self.items(items))
        x = self.hide(self.dropout(x + self.positions[: items.shape[1]]))
        for block in self.blocks:
            x = block(x, real)
        normed: Tensor = self.norm(x)
        return normed

    def hidden(self, items: Tensor, times: Tensor | None = None) -> Tensor:
        """int64 ``[b, t]``, rows of equal length, to ``[b, t, d]``: no event masked, all seen from both sides."""
        none = torch.zeros_like(items, dtype=torch.bool)
        return self.fill(items, none, ~none)

    def user_state(self, items: Tensor, lengths: Tensor, times: Tensor | None = None) -> Tensor:
        """``[b, d]``: the state of a gap appended to each row."""
        rows = torch.arange(len(items), device=items.device)
        step = torch.arange(items.shape[1] + 1, device=items.device)
        gaps = step == lengths[:, None]  # [b, t + 1]
        longer = torch.cat([items, items[:, :1]], 1)
        return self.fill(longer, gaps, step <= lengths[:, None])[rows, lengths]


def draw_gaps(real: Tensor, mask: float, last: float) -> Tensor:
    """Which events to mask, bool ``[b, t]``, at least one of every row.

    Parameters
    ----------
    real
        bool ``[b, t]``, true up to the end of each row.
    mask
        Share of the events.
    last
        Share of the rows in which the last event alone is masked.
    """
    noise = torch.rand(real.shape, device=real.device).masked_fill(~real, 2.0)
    gaps = (noise < mask) | (noise == noise.min(1, keepdim=True).values)
    ends = torch.arange(real.shape[1], device=real.device) == real.sum(1, keepdim=True) - 1
    only_last = torch.rand(len(real), 1, device=real.device) < last
    return torch.where(only_last, ends, gaps & real)


class BERT4Rec(NextItemModel):
    """Gap filling by attention to both sides; see :class:`~honeyguide.models.sequence.next_item.NextItemModel`.

    While training, some events of a window are masked and predicted from all others; when served,
    a gap is appended to the history and filled.
    """

    name = "bert4rec"
    Config = BERT4RecConfig
    space: ClassVar[Space] = {
        **NextItemModel.space,
        "blocks": Whole(1, 3),
        "mask": Real(0.1, 0.8),
        "last": Real(0.0, 1.0),
    }
    states = NextItemModel.states - {"inputs", "positions"}  # a gap is no event of the history, and all are seen
    resolved: BERT4RecConfig
    network: BERT4RecNetwork

    def _build(self, n_items: int) -> BERT4RecNetwork:
        return BERT4RecNetwork(n_items, self.resolved)

    def _forward(self) -> Callable[[Batch], Forward]:
        """The pass over the masked events of each window, its last target included."""
        network, config = self.network, self.resolved
        c: Any = config

        def forward(batch: Batch) -> Forward:
            events = torch.cat([batch.items[:, :1], batch.targets], 1)  # [b, t + 1]: the window and what came next
            real = events != IGNORED
            gaps = draw_gaps(real, c.mask, c.last)
            hidden = network.fill(events.clamp_min(0), gaps, real)[gaps]  # [n, d]
            users = rows_of(gaps, batch.users)
            return target_forward(config, users, hidden, network.item_vectors(), events[gaps])

        return forward
