"""HSTU: causal attention whose weights are not normalised by a softmax (Zhai et al. 2024)."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import model_validator
from torch import Tensor, nn

from honeyguide.core.space import Space, Whole
from honeyguide.models.sequence.next_item import NextItemModel, NextItemNetwork
from honeyguide.models.sequence.next_item_config import Auto, Cost, NextItemConfig
from honeyguide.nn.blocks import Dropout, EventDropout, HSTUBlock, RMSNorm, init_weights


class HSTUConfig(NextItemConfig):
    """Options of :class:`HSTU`, beside those of :class:`~honeyguide.models.sequence.next_item_config.NextItemConfig`.

    Parameters
    ----------
    blocks, heads
        Number of blocks and of attention heads in each.
    """

    blocks: int | Auto = "auto"
    heads: int | Auto = "auto"

    @model_validator(mode="after")
    def _divisible(self) -> Self:
        if self.dim != "auto" and self.heads != "auto" and self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of the heads ({self.heads})")
        return self

    def rules(self, long: bool) -> dict[str, Any]:
        """Twice the blocks of SASRec: one of these has two fifths of the weights."""
        shared = super().rules(long)
        dim = shared["dim"] if self.dim == "auto" else self.dim
        return {**shared, "blocks": 4 if long else 2, "heads": 2 if long and dim % 2 == 0 else 1}

    def cost(self) -> Cost:
        """Of the blocks; their weights of all pairs of events are kept for the backward pass."""
        c: Any = self
        return Cost(
            weights=c.blocks * (5 * c.dim**2 + 9 * c.dim + c.heads * c.max_len),
            activations=c.blocks * (16 * c.dim + 5 * c.heads * c.max_len),
            flops=c.blocks * (40 * c.dim**2 + 40 * c.heads * c.max_len + 12 * c.dim * c.max_len),
        )


class HSTUNetwork(NextItemNetwork):
    """The network; a :class:`~honeyguide.nn.backbone.Backbone`.

    Parameters
    ----------
    n_items
        Size m of the catalogue.
    config
        A resolved configuration.
    """

    def __init__(self, n_items: int, config: HSTUConfig) -> None:
        c: Any = config  # every "auto" is resolved
        super().__init__(n_items, c.dim, c.init_std)
        self.blocks = nn.ModuleList(HSTUBlock(c.dim, c.heads, c.dropout, c.max_len) for _ in range(c.blocks))
        init_weights(self.blocks, c.init_std)
        self.norm = RMSNorm(c.dim)
        self.dropout, self.hide = Dropout(c.dropout), EventDropout(c.event_dropout)

    def read(self, vectors: Tensor) -> Tensor:
        """``[b, t, d]`` to ``[b, t, d]``."""
        x = self.hide(self.dropout(vectors))
        for block in self.blocks:
            x = block(x)
        normed: Tensor = self.norm(x)
        return normed


class HSTU(NextItemModel):
    """Next-item prediction by pointwise attention; see :class:`~honeyguide.models.sequence.next_item.NextItemModel`.

    Weights of attention are a SiLU of the scores, over the number of events, and the distance
    between two events adds a learnt bias to the score of the pair.
    """

    name = "hstu"
    Config = HSTUConfig
    space: ClassVar[Space] = {**NextItemModel.space, "blocks": Whole(1, 6)}
    resolved: HSTUConfig

    def _build(self, n_items: int) -> HSTUNetwork:
        return HSTUNetwork(n_items, self.resolved)
