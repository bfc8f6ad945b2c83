"""SASRec: causal self-attention over a user's items (Kang & McAuley 2018), in its best known form.

The state after each item predicts the next one by a dot product with the item table. Beside the
original, this one has gated pre-norm blocks (LiGR), rotary positions where histories are long, and
a softmax over the whole catalogue at every position; see ``docs/models/sasrec.md``.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn

from honeyguide.core.space import Space, Whole
from honeyguide.models.sequence.next_item import NextItemModel, NextItemNetwork
from honeyguide.models.sequence.next_item_config import Auto, Cost, NextItemConfig
from honeyguide.nn.blocks import Dropout, EventDropout, LiGRBlock, RMSNorm, Rotary, SASRecBlock, init_weights

_BLOCKS = {"ligr": LiGRBlock, "sasrec": SASRecBlock}


class SASRecConfig(NextItemConfig):
    """Options of :class:`SASRec`, beside those of :class:`~honeyguide.models.sequence.next_item_config.NextItemConfig`.

    Parameters
    ----------
    blocks, heads
        Number of blocks and of attention heads in each.
    positions
        ``"learned"`` or ``"rope"``.
    block
        ``"ligr"`` or the original ``"sasrec"``.
    """

    blocks: int | Auto = "auto"
    heads: int | Auto = "auto"
    positions: Literal["learned", "rope", "auto"] = "auto"
    block: Literal["ligr", "sasrec"] = "ligr"

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.dim != "auto" and self.heads != "auto" and self.dim % (2 * self.heads):
            raise ValueError(f"dim ({self.dim}) must be a multiple of twice the heads ({self.heads})")
        return self

    def rules(self, long: bool) -> dict[str, Any]:
        """Short histories get one wide block and learnt positions, long ones two blocks and relative positions."""
        shared = super().rules(long)
        dim = shared["dim"] if self.dim == "auto" else self.dim
        return {
            **shared,
            "blocks": 2 if long else 1,
            "heads": 2 if long and dim % 4 == 0 else 1,
            "positions": "rope" if long else "learned",
        }

    def cost(self) -> Cost:
        """Of the blocks and the learnt positions."""
        c: Any = self
        return Cost(
            weights=c.max_len * c.dim + 14 * c.blocks * c.dim**2,
            activations=40 * c.blocks * max(c.dim, c.max_len * c.heads / 8),
            flops=90 * c.blocks * c.dim * (c.dim + c.max_len / 6),
        )


class SASRecNetwork(NextItemNetwork):
    """The network; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    """

    def __init__(self, n_items: int, config: SASRecConfig) -> None:
        c: Any = config  # every "auto" is resolved
        super().__init__(n_items, c.dim, c.init_std)
        self.positions = nn.Parameter(torch.randn(c.max_len, c.dim) * c.init_std) if c.positions == "learned" else None
        rotary = Rotary(c.dim // c.heads, c.max_len) if c.positions == "rope" else None
        self.blocks = nn.ModuleList(_BLOCKS[c.block](c.dim, c.heads, c.dropout, rotary) for _ in range(c.blocks))
        init_weights(self.blocks, c.init_std)
        self.norm = RMSNorm(c.dim)
        self.dropout, self.hide = Dropout(c.dropout), EventDropout(c.event_dropout)

    def read(self, vectors: Tensor) -> Tensor:
        """``[b, t, d]`` to ``[b, t, d]``."""
        x = vectors
        if self.positions is not None:
            x = x + self.positions[: x.shape[1]]
        x = self.hide(self.dropout(x))
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed


class SASRec(NextItemModel):
    """Next-item prediction by causal self-attention; see :class:`~honeyguide.models.sequence.next_item.NextItemModel`.

    A user is served from the latest ``max_len`` events. An empty history is given the logarithm
    of the items' share of the training events: what a softmax without a history would learn.
    """

    name = "sasrec"
    Config = SASRecConfig
    space: ClassVar[Space] = {**NextItemModel.space, "blocks": Whole(1, 3)}
    resolved: SASRecConfig

    def _build(self, n_items: int) -> SASRecNetwork:
        return SASRecNetwork(n_items, self.resolved)
